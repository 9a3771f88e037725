"""What must be the same in a run that was cut off and one that was not, and ways to cut one off."""

import logging
import multiprocessing
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
import torch

from gatelab.config import Config
from gatelab.runs import Run
from gatelab.training import checkpoints
from gatelab.training.fit import fit
from gatelab.training.module import SequenceModule
from gatelab.training.wandb import mirror

# What a checkpoint knows of time and place.
_ELSEWHERE = ("dirpath", "best_model_path", "kth_best_model_path", "last_model_path", "best_k_models")


class Cut(BaseException):
    """Ends a process in the middle, as far as a test within one can: nothing that handles errors sees it."""


def assert_same(found: Run, expected: Run) -> None:
    """Everything that two runs of one configuration share, to the last bit."""
    # As text: nan is nan.
    assert repr(without_times(found.metrics())) == repr(without_times(expected.metrics()))
    assert found.histograms() == expected.histograms()
    assert repr(found.arrays()) == repr(expected.arrays())
    for key in ("test", "val", "gates", "best_step", "steps"):
        assert found.summary()[key] == expected.summary()[key], key
    for name in ("best", "last"):
        difference = _differs(checkpoint(found, name), checkpoint(expected, name))
        assert difference is None, f"{name}.ckpt: {difference}"


def without_times(metrics: Mapping[str, Any]) -> dict[str, Any]:
    return {key: metrics[key] for key in sorted(metrics) if not key.startswith("time/")}


def checkpoint(run: Run, name: str) -> dict[str, Any]:
    return torch.load(run.path / "checkpoints" / f"{name}.ckpt", weights_only=True)


def cut_at(patch: pytest.MonkeyPatch, step: int, place: str = "training_step", end: Callable[[], object] | None = None) -> None:
    """Has the next run end in a method of its module when `step` optimiser steps are made, by `Cut` or as `end` does it."""
    original = getattr(SequenceModule, place)

    def cut(self: SequenceModule, *arguments: Any) -> Any:
        if self.global_step == step:
            _end(end)
        return original(self, *arguments)

    patch.setattr(SequenceModule, place, cut)


def cut_while_saving(patch: pytest.MonkeyPatch, place: str, number: int, end: Callable[[], object] | None = None) -> None:
    """Has the next run end when `gatelab.training.checkpoints.<place>` is called for the n-th time, counted from 1."""
    original, calls = getattr(checkpoints, place), []

    def cut(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == number:
            _end(end)
        return original(*arguments)

    patch.setattr(checkpoints, place, cut)


def _end(end: Callable[[], object] | None) -> None:
    if end is None:
        raise Cut
    end()


def kill_oneself() -> None:
    """Ends this process at once: no handler, no flush, no finally."""
    os.kill(os.getpid(), signal.SIGKILL)


def start(target: Callable[..., object], *arguments: Any) -> BaseProcess:
    """A process that has imported everything before it begins."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["gatelab.training.fit", "gatelab.sweeps.command"])
    process = context.Process(target=_heard, args=(target, *arguments))
    process.start()
    return process


def _heard(target: Callable[..., object], *arguments: Any) -> None:
    """Calls the function where signals come through: the server may be the one that gatelab started, which blocks them."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    target(*arguments)


def train(config: Config, step: int | None = None, place: str = "training_step", saving: tuple[str, int] | None = None) -> None:
    """For a process of its own: trains, and kills itself at that place if one is given."""
    torch.set_num_threads(1)
    patch = pytest.MonkeyPatch()
    if step is not None:
        cut_at(patch, step, place, kill_oneself)
    if saving is not None:
        cut_while_saving(patch, *saving, kill_oneself)
    fit(config)


def train_with_wandb(config: Config, log: Path, kill: bool, environment: Mapping[str, str]) -> None:
    """For a process of its own: trains while W&B cannot be reached, or until its service is killed; warnings go to a file."""
    os.environ |= environment
    torch.set_num_threads(1)
    logging.getLogger("gatelab").addHandler(logging.FileHandler(log))
    patch = pytest.MonkeyPatch()
    patch.setattr(mirror, "START_SECONDS", 2)
    if kill:
        cut_at(patch, 12, end=_kill_wandb)
    fit(config)
    os._exit(0)  # what W&B does at an orderly end is not ours


def _kill_wandb() -> None:
    processes = subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "pid=,args="], capture_output=True, text=True).stdout
    services = [int(line.split()[0]) for line in processes.splitlines() if "wandb-core" in line]
    assert services
    for service in services:
        os.kill(service, signal.SIGKILL)


def _differs(found: Any, expected: Any, where: str = "") -> str | None:
    """The first place where two checkpoints differ; None if they don't."""
    if isinstance(expected, torch.Tensor):
        return None if isinstance(found, torch.Tensor) and torch.equal(found, expected) else where
    if isinstance(expected, Mapping):
        if found.keys() != expected.keys():
            return f"{where}: {found.keys()} and {expected.keys()}"
        pairs = ((key, found[key], expected[key]) for key in expected if key not in _ELSEWHERE)
    elif isinstance(expected, (list, tuple)):
        if len(found) != len(expected):
            return f"{where}: {len(found)} and {len(expected)}"
        pairs = ((key, one, other) for key, (one, other) in enumerate(zip(found, expected, strict=True)))
    else:
        return None if found == expected else f"{where}: {found!r} and {expected!r}"
    return next((said for key, one, other in pairs if (said := _differs(one, other, f"{where}/{key}"))), None)


def only_run(folder: str | Path) -> Path:
    (path,) = Path(folder).iterdir()
    return path
