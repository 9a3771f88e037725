"""A sweep that is disturbed on a cluster, and how it is compared with the one that nothing disturbed."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from cluster.hosts import until

from gatelab.errors import UserError
from gatelab.runs import Run, find_runs, read_run

GATELAB = str(Path(sys.executable).parent / "gatelab")
SWEEP = ["train", "-m", "cell=lstm,rnn", "seed=range(6)", "task=adding", "task.length=20", "model.hidden_size=16"]
SWEEP += ["model.dropout=0.2", "trainer.max_steps=1500", "trainer.val_every=50", "trainer.patience=null", "logger=none"]


def start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """A command in the background, its output in a file."""
    with open(folder / "said.txt", "w") as said:
        return subprocess.Popen([GATELAB, *arguments], cwd=folder, stdout=said, stderr=said, text=True, env=environment())


@contextmanager
def sweeping(folder: Path, *arguments: str, log: Callable[[], str] = str) -> Iterator["subprocess.Popen[str]"]:
    """The sweep in the background, killed behind the block; where the block fails, what it and the cluster said is shown."""
    process = start(folder, *SWEEP, *arguments)
    try:
        yield process
    except BaseException:
        print((folder / "said.txt").read_text(), log())
        raise
    finally:
        process.kill()


def stopped_by_ctrl_c(folder: Path, seconds: float, *arguments: str) -> Run:
    """Begins the sweep and stops it with Ctrl-C while a run is being trained, which it must obey in so many seconds.

    Returns:
        That run, as it was before.
    """
    with sweeping(folder, *arguments) as sweep:
        run = until(lambda: training(folder / "runs"), "a run is being trained")
        sweep.send_signal(signal.SIGINT)
        assert sweep.wait(seconds) == 130
    return run


def states(folder: Path) -> set[str]:
    """Of the runs in a folder."""
    return {run.state for run in find_runs([folder])[0]}


def assert_begun_twice(folder: Path, *twice: Run) -> None:
    """Asserts that these runs were begun twice, and all others once."""
    attempts = {run.path.name: run.status["attempts"] for run in find_runs([folder])[0]}
    assert [attempts.pop(run.path.name) for run in twice] == [2] * len(twice)
    assert {*attempts.values()} == {1}


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")} | {"OMP_NUM_THREADS": "1"}


def training(folder: Path, on: Callable[[Run], bool] = lambda run: True) -> Run | None:
    """A run that is being trained, has a checkpoint, and is not near its end."""
    for path in sorted(folder.glob("*-adding-s*")):
        with suppress(UserError):
            run = read_run(path)
            if run.state == "queued" or not on(run):  # one that is queued is on no host
                continue
            assert run.state != "failed", run.status
            far = run.status["step"] < 0.5 * run.status["max_steps"]
            if run.state == "running" and far and (path / "checkpoints" / "last.ckpt").exists():
                return run
    return None


def assert_same(folder: Path, whole: Path) -> None:
    """Asserts that all runs of a sweep ended with the bits of the undisturbed one."""
    found, skipped = find_runs([folder])
    expected, _ = find_runs([whole])
    assert not skipped
    assert [run.path.name for run in found] == [run.path.name for run in expected]
    assert len(found) == 12
    for run, undisturbed in zip(found, expected, strict=True):
        assert_same_run(run, undisturbed)


def assert_same_run(run: Run, undisturbed: Run) -> None:
    """Asserts that a run ended with the bits of the undisturbed one."""
    assert run.state == "finished", run.status
    assert run.summary()["test"] == undisturbed.summary()["test"]
    assert without_times(run) == without_times(undisturbed)
    weights, others = (weights_of(each) for each in (run, undisturbed))
    assert all(torch.equal(weights[name], others[name]) for name in others)


def run_of(folder: Path) -> Run:
    """The only run in a folder."""
    (run,), _ = find_runs([folder])
    return run


def without_times(run: Run) -> dict[str, Any]:
    """Its metrics but for what no two runs share."""
    return {key: value for key, value in run.metrics().items() if not key.startswith("time/")}


def weights_of(run: Run) -> dict[str, torch.Tensor]:
    """The last ones."""
    return torch.load(run.path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
