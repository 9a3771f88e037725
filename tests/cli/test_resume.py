"""`gatelab resume` as a user calls it, on sweeps that something happened to."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gatelab.cli.main import main
from gatelab.runs import Run, find_runs
from gatelab.runs.sweep import write_plan

TINY = ["task=adding", "task.length=4", "trainer.max_steps=2", "trainer.val_every=1", "trainer.batch_size=2", "model.hidden_size=2"]
TINY += ["logger=none", "hydra/launcher=basic"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the sweep was trained, once for all tests here."""
    folder = tmp_path_factory.mktemp("trained")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["train", "-m", "cell=rnn", *TINY, "seed=0,1,2", "sweep=mine"]) == 0
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def sweep(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """Two runs that were stopped and one that failed, of a sweep called `mine`, as if they had been trained here."""
    shutil.copytree(trained, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    plan = Path("runs/sweeps/mine/plan.json")
    found = json.loads(plan.read_text())
    assert [command["folder"] for command in found["commands"]] == [str(trained)]
    found["commands"][0]["folder"] = str(Path.cwd())
    plan.write_text(json.dumps(found))
    runs = find_runs(["runs"])[0]
    for run, end in zip(runs, ("preempted", "running", "failed"), strict=True):
        (run.path / "summary.json").unlink()
        change(run, state=end, cause="error", error="There was a hole in it.", pid=2**22 + 1)
    return runs


def change(run: Run, **values: Any) -> None:
    file = run.path / "status.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def states() -> list[tuple[str, int]]:
    return [(run.state, run.status["attempts"]) for run in find_runs(["runs"])[0]]


@pytest.mark.slow
def test_what_failed_is_left_alone_and_named(sweep: list[Run], gatelab: Callable[..., tuple[int, str, str]]):
    status, _, err = gatelab("resume", "mine")
    assert status == 1
    assert states() == [("finished", 2), ("finished", 2), ("failed", 1)]
    assert "--failed trains it again" in err
    assert (
        f"{sweep[2].path} failed before, at step 2: There was a hole in it. It is left alone because of machine.retry=none" in err
    )
    assert "1 failed before and left alone" in err
    status, _, err = gatelab("resume", "runs/sweeps/mine", "--failed")
    assert status == 0, err
    assert states() == [("finished", 2), ("finished", 2), ("finished", 2)]
    assert gatelab("resume", "mine")[0] == 0
    assert states() == [("finished", 2)] * 3


@pytest.mark.slow
def test_what_diverged_would_diverge_again(sweep: list[Run], gatelab):
    change(sweep[2], cause="diverged", error="The training loss is nan at step 1.")
    again = ["train", "-m", "cell=rnn", *TINY, "seed=0,1,2", "sweep=mine"]
    status, _, err = gatelab(*again)
    assert status == 1
    assert "1 failed before and left alone" in err
    assert f"{sweep[2].path} failed before, at step 2: The training loss is nan at step 1. It would diverge again" in err
    assert states() == [("finished", 2), ("finished", 2), ("failed", 1)]
    assert gatelab("resume", "mine", "--failed")[0] == 0
    assert states()[2] == ("finished", 2)


@pytest.mark.slow
def test_every_command_of_the_sweep_is_repeated(sweep: list[Run], gatelab):
    gatelab("train", "-m", "cell=rnn", *TINY, "seed=3", "sweep=mine")
    (run,) = [run for run in find_runs(["runs"])[0] if run.seed == 3]
    change(run, state="preempted")
    gatelab("resume", "mine", "--failed")
    assert states() == [("finished", 2)] * 4


@pytest.mark.slow
def test_where_the_folder_was_moved(sweep: list[Run], gatelab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "here").rename(tmp_path / "there")
    monkeypatch.chdir(tmp_path)
    assert gatelab("resume", "there/runs/sweeps/mine", "--failed")[0] == 0
    monkeypatch.chdir(tmp_path / "there")
    assert states() == [("finished", 2)] * 3


@pytest.mark.slow
def test_status_of_a_sweep(sweep: list[Run], gatelab):
    gatelab("train", "-m", "cell=rnn", *TINY, "seed=7", "sweep=other")
    expected = {"interrupted": 1, "preempted": 1, "failed": 1}
    for name in ("mine", "runs/sweeps/mine"):
        assert json.loads(gatelab("status", name, "--format", "json")[1])["counts"] == expected
    assert json.loads(gatelab("status", "--format", "json")[1])["counts"] == {"done": 1} | expected


def test_there_is_no_such_sweep(gatelab: Callable[..., tuple[int, str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    write_plan({Path("runs/rnn-adding-s0-0"): {"cell": {"name": "rnn"}, "task": {"name": "adding"}, "sweep": "mine"}})
    status, _, err = gatelab("resume", "mnie")
    assert status == 2
    assert "There is no folder and no sweep 'mnie'. Below runs there are: mine." in err
