"""A disk that is full before a run begins: one sentence, and nothing that is half-written."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gatelab.cli.main import main
from gatelab.errors import UserError
from gatelab.runs import read_run
from gatelab.runs import writer as ledger
from gatelab.runs.writer import RunWriter, enqueue, mark
from gatelab.sweeps.contracts import Alone
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.launch.preflight import preflight
from gatelab.sweeps.search.expand import compose_jobs

CONFIG = {"cell": {"name": "lstm"}, "task": {"name": "adding"}, "seed": 0, "trainer": {"max_steps": 10}}
TINY = ["cell=rnn", "task=adding", "task.length=4", "model.hidden_size=2", "logger=none", "sweep=s"]


def fill(disk: Path, left: int = 0) -> None:
    """Leaves that many bytes free, in blocks."""
    with open(disk / "filling", "wb") as file:
        statistics = os.statvfs(disk)
        file.write(bytes(max(0, statistics.f_bavail * statistics.f_bsize - left)))


def files(disk: Path) -> list[str]:
    return sorted(str(path.relative_to(disk)) for path in disk.rglob("*") if path.name != "filling")


def test_nothing_is_written_by_a_command(disk: Path):
    compose.register_schemas()
    jobs = compose_jobs(compose.parse([*TINY, f"out={disk / 'runs'}"]), sweep=False)
    fill(disk)
    with pytest.raises(UserError, match=r"cannot be written to: No space left on device\. Free some space, or give"):
        preflight(jobs, Alone())
    assert files(disk) == []


@pytest.mark.parametrize("checked", [True, False], ids=["before", "just then"])
def test_no_directory_is_left(disk: Path, checked: bool, monkeypatch: pytest.MonkeyPatch):
    if not checked:  # it was full a moment later
        monkeypatch.setattr(ledger, "check_writable", lambda path: None)
    fill(disk)
    with pytest.raises(UserError, match="Free some space"):
        RunWriter(disk / "lstm-adding-s0-x")
    assert files(disk) == []


def test_half_a_beginning_is_taken_back(disk: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ledger, "check_writable", lambda path: None)
    writer = RunWriter(disk / "run")
    fill(disk, left=4096)
    with pytest.raises(OSError, match="No space left on device"):
        writer.start(CONFIG, {"command": "x" * 10_000}, "id")
    writer.fail("The disk is full.", "Traceback", None, "disk")
    writer.close()
    assert files(disk) == ["run", "run/lock-1"]


def test_a_queued_run_is_marked_in_the_place_that_its_status_has(disk: Path):
    path = disk / "run"
    enqueue(path, CONFIG, "id")
    fill(disk)
    assert mark(path, "failed", "The disk is full.", "error")
    run = read_run(path)
    assert (run.state, run.status["error"]) == ("failed", "The disk is full.")
    assert not mark(path, "preempted", "It was stopped.")


def test_a_run_that_has_no_status_cannot_be_marked(disk: Path):
    (disk / "run").mkdir()
    fill(disk)
    assert not mark(disk / "run", "failed", "The disk is full.", "error")
    assert files(disk) == ["run"]


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "plan.json")


@pytest.mark.parametrize(
    ("place", "launcher", "expected"),
    [("gatelab.sweeps.command.write_plan", "basic", 1), ("gatelab.sweeps.launch.batch.enqueue", "local", 2)],
    ids=["plan", "queue"],
)
def test_a_command_says_so_in_a_sentence(
    place: str,
    launcher: str,
    expected: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    no_server: Callable[[], None],
):
    monkeypatch.setattr(place, full)
    assert main(["train", "-m", *TINY, f"hydra/launcher={launcher}", f"out={tmp_path}"]) == expected
    said = capsys.readouterr().err
    assert said.splitlines()[-1] == (
        "gatelab: The disk is full: 'plan.json' could not be written. "
        "Free some space and repeat the command; it skips what is finished."
    )
    assert "Traceback" not in said


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatelab.sweeps.launchers.local.Local.start_ahead", lambda *_: None)
