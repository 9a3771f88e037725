"""A task that breaks its contract where no check in advance could see it: the run fails with one sentence that names the task."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from training.resuming import only_run

from gatelab.config import Config
from gatelab.errors import UserError
from gatelab.runs import read_run
from gatelab.tasks import TASKS, Batch, Task
from gatelab.tasks._task import Split
from gatelab.tasks.adding import Adding
from gatelab.training.data import EvaluationBatches
from gatelab.training.failures import RunFailedError
from gatelab.training.fit import fit
from gatelab.training.prepare import check
from gatelab.training.spec import Spec

Make = Callable[..., Config]
ROWS = 8  # of the batches of `small`
CHECKED = 2  # rows of the batches that the check makes


def late(monkeypatch: pytest.MonkeyPatch, **members: Any) -> None:
    """Adds a task `late` that is `adding` but for some members."""
    cls: Any = dataclass(frozen=True)(type("Late", (Adding,), {**members}))
    monkeypatch.setattr(TASKS, "_added", dict(TASKS._added))
    TASKS.add("late", cls, "a test")


def vector_loss(self: Task, output: Tensor, batch: Batch) -> Tensor:
    errors = (output - batch.y).square()
    return errors.mean() if len(output) == CHECKED else errors


def loss_that_raises(self: Task, output: Tensor, batch: Batch) -> Tensor:
    if len(output) > CHECKED:
        raise IndexError("Target 10 is out of bounds.")
    return (output - batch.y).square().mean()


def memory_runs_out(self: Task, output: Tensor, batch: Batch) -> Tensor:
    if len(output) > CHECKED:
        raise MemoryError("Unable to allocate 1 TiB")
    return (output - batch.y).square().mean()


def another_shape(self: Adding, split: Split, seed: int, indices: np.ndarray) -> Batch:
    batch = Adding.batch(self, split, seed, indices)
    return batch if len(indices) <= CHECKED else batch._replace(x=batch.x[:, :, 0])


def fewer_scores(self: Adding, output: Tensor, batch: Batch) -> Mapping[str, tuple[Tensor, Tensor]]:
    return Adding.metrics(self, output, batch) if len(output) <= CHECKED else {}


def no_weight(self: Adding, output: Tensor, batch: Batch) -> Mapping[str, tuple[Tensor, Tensor]]:
    return {**Adding.metrics(self, output, batch), "rare": (torch.tensor(0.0), torch.tensor(0.0))}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("members", "message", "cause"),
    [
        (
            {"loss": vector_loss},
            r"Task 'late': loss returns a tensor of shape \(8, 1\), .*test_contracts\.py:\d+\)\.",
            "error",
        ),
        ({"loss": loss_that_raises}, r"Task 'late': loss raises IndexError: Target 10 is out of bounds", "error"),
        ({"loss": memory_runs_out}, r"There is not enough memory: Unable to allocate 1 TiB", "memory"),
        ({"batch": another_shape}, r"Task 'late': batch\('train'\) returns x of shape \(8, 8\)", "error"),
        ({"metrics": fewer_scores}, r"Task 'late': metrics returns nothing, but `metric` declares 'mse'", "error"),
        ({"metrics": no_weight}, r"Task 'late': the weights of 'rare' add up to 0 over the whole 'val' split\.", "error"),
    ],
    ids=["vector", "label", "memory", "shape", "metric", "weights"],
)
def test_what_breaks_in_training_names_the_task(
    small: Make, monkeypatch: pytest.MonkeyPatch, members: Mapping[str, Any], message: str, cause: str
) -> None:
    late(monkeypatch, **members)
    config = small(task={"name": "late", "length": 8})
    with pytest.raises(RunFailedError, match=message):
        fit(config)
    run = read_run(only_run(config.out))
    assert (run.state, run.status["cause"]) == ("failed", cause)


BEFORE = [
    ({"metric": "accuracy"}, r"^Task 'late': metrics of 'train' returns mse, but `metric` declares 'accuracy'"),
    ({"size": lambda self, split: {"train": None, "val": 0, "test": 8}[split]}, r"^Task 'late': size\('val'\) returns 0"),
    ({"loss": lambda self, output, batch: output}, r"^Task 'late': loss of 'train' returns a tensor of shape \(2, 1\)"),
    (
        {"metrics": lambda self, output, batch: {"mse": output.mean()}},
        r"^Task 'late': metrics of 'train' returns 'mse' as a Ten",
    ),
    ({"chance": math.nan}, r"^Task 'late': `chance` is nan"),
]


@pytest.mark.parametrize(("members", "message"), BEFORE, ids=["metric", "empty", "loss", "metrics", "chance"])
@pytest.mark.parametrize("begin", [lambda config: check(Spec(config)), fit], ids=["check", "fit"])
def test_what_can_be_seen_in_advance_begins_no_run(
    small: Make, monkeypatch: pytest.MonkeyPatch, begin: Callable[[Config], Any], members: Mapping[str, Any], message: str
) -> None:
    late(monkeypatch, **members)
    config = small(task={"name": "late", "length": 8})
    with pytest.raises(UserError, match=message):
        begin(config)
    assert not Path(config.out).exists()


def test_batches_of_an_evaluation_need_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    late(monkeypatch, size=lambda self, split: None)
    with pytest.raises(UserError, match=r"Task 'late': size\('test'\) returns None"):
        EvaluationBatches(TASKS.build("late"), "test")
