"""The plan of a sweep, and which of its runs are still at work."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gatelab.errors import UserError
from gatelab.process.identity import process_alive
from gatelab.runs import Run
from gatelab.runs.sweep import STALE_SECONDS, commands, live_state, read_plan, read_plans, write_plan

HERE = {"host": socket.gethostname(), "pid": os.getpid()}


@pytest.fixture(scope="module")
def gone() -> int:
    """The number of a process that has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
        return process.pid


def state_of(now: float = 0.0, **status: Any) -> str:
    return live_state(Run(Path("run"), {}, {"state": "running", "updated": 0.0, **HERE, **status}), now)


def test_ended_runs():
    assert state_of(state="finished") == "finished"
    assert state_of(state="failed", cause="error") == "failed"
    assert state_of(state="failed") == "failed"  # written before causes were
    assert state_of(state="queued") == "queued"
    assert state_of(state="preempted") == "preempted"


def test_a_run_whose_process_is_gone_was_interrupted(gone: int):
    assert state_of(pid=gone) == "interrupted"
    assert state_of() == "running"
    assert state_of(began=1) == "interrupted"  # its number is another process's by now
    assert state_of(boot="of another container") == "running"


def test_a_silent_run_is_stale_where_its_process_cannot_be_seen(gone: int):
    assert state_of(STALE_SECONDS - 1, pid=gone, host="elsewhere") == "running"
    assert state_of(STALE_SECONDS + 1, pid=gone, host="elsewhere") == "stale"
    assert state_of(-STALE_SECONDS - 1) == "stale"  # its clock or ours was set


def test_a_process_without_a_record_may_be_there(gone: int):
    assert process_alive({})
    assert process_alive({"host": socket.gethostname(), "pid": "7"})
    assert process_alive({"host": socket.gethostname(), "pid": 1})  # not ours to signal, perhaps, but there
    assert not process_alive({"host": socket.gethostname(), "pid": gone})


def config(cell: str, sweep: str = "s") -> dict[str, Any]:
    return {"cell": {"name": cell}, "task": {"name": "adding"}, "sweep": sweep}


def test_plan_and_back(tmp_path: Path):
    write_plan({tmp_path / "a": config("lstm"), tmp_path / "b": config("gru")})
    write_plan({tmp_path / "c": config("cifg", "other"), tmp_path / "deeper" / "d": config("cifg", "other")})
    plans = read_plans([tmp_path])
    assert {(plan.path.name, plan.cell, plan.task, plan.alive) for plan in plans} == {
        ("a", "lstm", "adding", True),
        ("b", "gru", "adding", True),
        ("c", "cifg", "adding", True),
    }
    assert [plan.path for plan in read_plans([tmp_path / "deeper"])] == [tmp_path / "deeper" / "d"]
    write_plan({tmp_path / "a": config("lstm")})
    assert {plan.path.name for plan in read_plans([tmp_path])} == {"a", "b", "c"}  # a plan only grows


def test_a_plan_of_a_process_that_is_gone(tmp_path: Path, gone: int):
    write_plan({tmp_path / "a": config("lstm", "old"), tmp_path / "b": config("lstm", "old")})
    file = tmp_path / "sweeps" / "old" / "plan.json"
    plan = json.loads(file.read_text())
    plan["commands"][0]["pid"] = gone
    file.write_text(json.dumps(plan))
    write_plan({tmp_path / "b": config("lstm", "new")})
    assert {plan.path.name: plan.alive for plan in read_plans([tmp_path])} == {"a": False, "b": True}


@pytest.mark.parametrize("text", ["", "[]", '{"runs": 3}', '{"runs": {"a": ["lstm"]}}', '{"runs": {"a": 1}}', "\x00"])
def test_a_damaged_plan_is_none(tmp_path: Path, text: str):
    file = tmp_path / "sweeps" / "s" / "plan.json"
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert read_plans([tmp_path]) == []


def test_names_of_a_plan_do_not_leave_its_folder(tmp_path: Path):
    write_plan({tmp_path / "a": config("lstm")})
    file = tmp_path / "sweeps" / "s" / "plan.json"
    file.write_text(json.dumps({"runs": {"../../etc/a": {"cell": "lstm", "task": "adding"}}, "commands": []}))
    assert read_plans([tmp_path]) == []


def test_commands_are_kept_each_once(tmp_path: Path, gone: int):
    folder = tmp_path / "sweeps" / "s"
    write_plan({tmp_path / "a": config("lstm")}, {tmp_path / "a": ["cell=lstm", "seed=0"]}, ["-m", "cell=lstm"])
    write_plan({tmp_path / "b": config("gru")}, {}, ["-m", "cell=gru"])
    write_plan({tmp_path / "a": config("lstm")}, {}, ["-m", "cell=lstm"])  # again, while the first is still there
    assert [command["arguments"] for command in commands(folder)] == [["-m", "cell=lstm"], ["-m", "cell=gru"]]
    assert {command["folder"] for command in commands(folder)} == {str(Path.cwd())}
    assert {one.path.name: one.overrides for one in read_plan(folder)} == {"a": [], "b": []}
    file = folder / "plan.json"
    plan = json.loads(file.read_text())
    assert len(plan["commands"]) == 3
    file.write_text(json.dumps(plan | {"commands": [entry | {"pid": gone} for entry in plan["commands"]]}))
    write_plan({tmp_path / "a": config("lstm")}, {}, ["-m", "cell=lstm"])
    assert len(json.loads(file.read_text())["commands"]) == 2  # of the dead ones the same again is not kept


def test_there_are_no_commands_without_a_plan(tmp_path: Path):
    with pytest.raises(UserError, match=r"plan\.json is missing"):
        commands(tmp_path)
