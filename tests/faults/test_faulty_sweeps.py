"""Sweeps with the launcher `local` whose processes are killed, stopped, or meet something else that they cannot train through."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from held import hold

from gatelab.runs import Run, find_runs

pytestmark = pytest.mark.slow

RUN = [
    "cell=lstm",
    "model.hidden_size=4",
    "task=adding",
    "task.length=10",
    "trainer.val_every=5",
    "trainer.patience=null",
    "logger=none",
]
SHORT = [*RUN, "trainer.max_steps=5"]
LONG = [*RUN, "trainer.max_steps=1000000"]  # until somebody ends it
SECONDS = 300.0


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts a sweep in a group of its own, as a terminal does; it is gone behind the test."""
    started = []

    def start(*arguments: str) -> "subprocess.Popen[str]":
        program = str(Path(sys.executable).parent / "gatelab")
        process = subprocess.Popen(
            [program, "train", "-m", *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def runs_of(folder: Path) -> list[Run]:
    return find_runs([folder])[0] if folder.is_dir() else []


def wait_until(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.05)
    raise AssertionError("it did not come to that")


def training(folder: Path, count: int) -> list[Run]:
    """The runs that have made a step, once there are so many."""
    return wait_until(
        lambda: (found := [run for run in runs_of(folder) if run.state == "running" and run.status["step"]])[count - 1 :] and found
    )


def gone(run: Run) -> bool:
    try:
        return Path(f"/proc/{run.status['pid']}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def ended(process: "subprocess.Popen[str]") -> tuple[int, str]:
    _, said = process.communicate(timeout=SECONDS)
    assert "Traceback" not in said, said
    return process.returncode, said


def test_a_killed_job_costs_only_itself(sweep, gatelab, tmp_path, monkeypatch):
    task, held = hold(tmp_path, at=20)
    process = sweep(*RUN, *task, "trainer.max_steps=40", "seed=range(3)", "hydra.launcher.n_jobs=1")
    (first,) = training(tmp_path / "runs", 1)
    os.kill(first.status["pid"], signal.SIGKILL)
    held.unlink()
    status, said = ended(process)
    assert status == 1, said
    assert sorted(run.state for run in runs_of(tmp_path / "runs")) == ["failed", "finished", "finished"]
    (failed,) = [run for run in runs_of(tmp_path / "runs") if run.state == "failed"]
    assert failed.path == first.path
    assert failed.status["cause"] == "killed"
    assert re.search(rf"^{first.path.name}  failed at step \d+: .*killed \(signal 9\), perhaps out of memory.* See ", said, re.M)
    assert "2 of 3 runs finished" in said
    monkeypatch.chdir(tmp_path)
    status, _, said = gatelab("train", "-m", *RUN, *task, "trainer.max_steps=40", "seed=range(3)")
    assert status == 0, said
    assert "3 runs: 2 already finished, 1 failed before" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_a_stopped_sweep_can_go_on(number, sweep, tmp_path):
    process = sweep(*LONG, "seed=range(3)", "hydra.launcher.n_jobs=2", "sweep=mine")
    begun = training(tmp_path / "runs", 2)
    os.killpg(process.pid, number)
    if number == signal.SIGTERM:
        os.kill(process.pid, number)  # `timeout` sends it to the process and to its group
    status, said = ended(process)
    assert status == 128 + number, said
    assert "gatelab resume mine" in said
    assert said.splitlines()[-1] == "gatelab: interrupted"
    assert all(map(gone, begun))
    found = {run.path.name: run for run in runs_of(tmp_path / "runs")}
    assert {found[run.path.name].state for run in begun} == {"preempted"}
    assert all((run.path / "checkpoints" / "last.ckpt").exists() for run in begun)


def test_jobs_end_with_their_launcher(sweep, tmp_path):
    process = sweep(*LONG, "seed=0,1", "hydra.launcher.n_jobs=2")
    begun = training(tmp_path / "runs", 2)
    process.kill()
    wait_until(lambda: all(map(gone, begun)))
    assert {run.state for run in runs_of(tmp_path / "runs")} == {"preempted"}


def test_two_sweeps_at_once_train_every_run_once(sweep, tmp_path):
    given = [*RUN, "trainer.max_steps=50", "seed=range(4)", "hydra.launcher.n_jobs=1"]
    both = [sweep(*given), sweep(*given)]
    said = ""
    for process in both:
        status, text = ended(process)
        assert status == 0, text
        said += text
    found = runs_of(tmp_path / "runs")
    assert [run.state for run in found] == ["finished"] * 4
    assert [run.status["attempts"] for run in found] == [1] * 4
    for run in found:
        steps = [line for line in (run.path / "metrics.jsonl").read_text().splitlines() if '"step": 50,' in line and "val/" in line]
        assert len(steps) == 1


PLUGIN = '''
from dataclasses import dataclass
from torch import sigmoid
from gatelab import Cell


@dataclass(frozen=True)
class Breaking(Cell):
    """A cell whose file is no longer what it was when the sweep began."""

    gates = {"f": "forget"}

    def step(self, a, s, p):
        f = sigmoid(a.f)
        return {"h": f * s.h + 1 - f}, {"forget": f}
'''


@pytest.mark.parametrize(
    ("then", "reason"),
    [
        (None, "breaking.py' was not found"),
        (PLUGIN.replace("+ 1 - f", "+ 1"), "its plugin or its data have changed since the sweep began"),
    ],
    ids=["vanished", "changed"],
)
def test_a_plugin_that_changes_in_mid_sweep(then, reason, sweep, tmp_path):
    plugin = tmp_path / "breaking.py"
    plugin.write_text(PLUGIN)
    ((own, task), held) = hold(tmp_path, at=20)
    plugins = own.replace("]", f",{plugin}]")
    process = sweep(plugins, *RUN, task, "cell=breaking", "trainer.max_steps=40", "seed=0,1", "hydra.launcher.n_jobs=1")
    training(tmp_path / "runs", 1)
    plugin.unlink() if then is None else plugin.write_text(then)
    held.unlink()
    status, said = ended(process)
    assert status == 1, said
    assert "1 of 2 runs finished" in said
    (failed,) = [run for run in runs_of(tmp_path / "runs") if run.state == "failed"]
    assert failed.seed == 1
    assert reason in failed.status["error"]


HUNGRY = '''
from dataclasses import dataclass
import torch
from gatelab import Task
from gatelab.tasks.adding import Adding


@dataclass(frozen=True)
class Hungry(Adding):
    """The adding problem, but training data of one seed need more memory than there is."""

    def batch(self, split, seed, indices):
        if split == "train" and seed == 1:
            torch.ones(2**48)
        return super().batch(split, seed, indices)
'''


def test_a_job_out_of_memory(sweep, tmp_path):
    plugin = tmp_path / "hungry.py"
    plugin.write_text(HUNGRY)
    status, said = ended(sweep(f"plugins=[{plugin}]", *SHORT, "task=hungry", "seed=range(3)"))
    assert status == 1, said
    assert "2 of 3 runs finished" in said
    (failed,) = [run for run in runs_of(tmp_path / "runs") if run.state == "failed"]
    assert failed.seed == 1
    assert failed.status["cause"] == "memory"
