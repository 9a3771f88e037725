"""Patience against scores that stay at chance before they improve; and as Lightning has it where a task has no plateau."""

import math
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping

from gatelab.config import Config
from gatelab.tasks import TASKS
from gatelab.training.fit import fit
from gatelab.training.patience import Patience
from gatelab.training.spec import Spec

EVERY = 50  # optimiser steps between two validations


def task(chance: float = 1.0, solved: float = 0.0, plateau: int = 1000) -> Any:
    return SimpleNamespace(chance=chance, solved=solved, plateau=plateau, higher_is_better=solved > chance)


def stopped(callback: EarlyStopping, scores: Sequence[float]) -> int | None:
    """The step after which a run with these validation scores ends; None: it does not."""
    trainer: Any = SimpleNamespace(
        fast_dev_run=False,
        should_stop=False,
        current_epoch=0,
        strategy=SimpleNamespace(reduce_boolean_decision=lambda decision, **_: decision),
    )
    for number, score in enumerate(scores, 1):
        trainer.callback_metrics, trainer.global_step = {"val/x": torch.tensor(score)}, number * EVERY
        callback._run_early_stopping_check(trainer)
        if trainer.should_stop:
            return number * EVERY
    return None


def test_a_run_on_the_plateau_is_not_stopped_and_one_behind_it_is() -> None:
    """The fault: a patience of 5 ended runs that learn after 800 steps."""
    learning = [1.0] * 16 + [0.5, 0.3, 0.1, 0.05, 0.04]
    assert stopped(EarlyStopping("val/x", patience=5), learning) == 6 * EVERY
    assert stopped(Patience("val/x", 5, task()), learning) is None
    assert stopped(Patience("val/x", 5, task()), [*learning, *[0.05] * 5]) == 26 * EVERY  # five after the best, at step 1050


def test_noise_at_chance_does_not_end_the_plateau() -> None:
    assert stopped(Patience("val/x", 2, task()), [0.8, 1.2, 1.1] * 5) is None


@pytest.mark.parametrize(("chance", "solved", "sign"), [(1.0, 0.0, 1), (0.0, 1.0, -1)], ids=["loss", "accuracy"])
def test_a_score_that_has_left_chance_is_counted_at_once(chance: float, solved: float, sign: int) -> None:
    scores = [chance, chance - 0.3 * sign, chance, chance, chance]
    assert stopped(Patience("val/x", 3, task(chance, solved)), scores) == 5 * EVERY


def test_a_run_that_never_learns_ends_behind_the_plateau() -> None:
    assert stopped(Patience("val/x", 3, task(plateau=1000)), [1.0] * 40) == 1000 + 2 * EVERY


def test_a_score_that_is_not_finite_ends_a_run_anywhere() -> None:
    assert stopped(Patience("val/x", 3, task()), [1.0, math.nan]) == 2 * EVERY


@pytest.mark.parametrize("patience", [1, 2, 5])
def test_without_a_plateau_it_is_the_patience_of_lightning(patience: int) -> None:
    scores = torch.randn(40, generator=torch.Generator().manual_seed(patience)).tolist()
    expected = stopped(EarlyStopping("val/x", patience=patience), scores)
    assert expected is not None
    assert stopped(Patience("val/x", patience, task(plateau=0)), scores) == expected


def test_a_checkpoint_of_an_earlier_version_is_read() -> None:
    callback = Patience("val/x", 3, task())
    assert callback.state_key == "LeanEarlyStopping{'monitor': 'val/x', 'mode': 'min'}"
    stopped(callback, [1.0, 0.6, 0.9])
    other = Patience("val/x", 3, task())
    other.load_state_dict(callback.state_dict())
    assert (other.wait_count, float(other.best_score)) == (1, pytest.approx(0.6))
    assert stopped(other, [0.9, 0.9]) == 2 * EVERY


@pytest.mark.parametrize("name", TASKS.names())
def test_only_a_task_that_runs_may_never_learn_has_a_plateau(name: str) -> None:
    task = TASKS.build(name)
    assert task.plateau == 0 or task.shape == "any"


@pytest.mark.parametrize("name", ["adding", "copying", "variable_copying"])
def test_a_plateau_grows_with_the_lag(name: str) -> None:
    assert TASKS.build(name, length=80).plateau == 2 * TASKS.build(name, length=40).plateau > 0


@pytest.mark.slow
def test_a_run_uses_it(small: Callable[..., Config]) -> None:
    config = small(trainer={"patience": 1, "max_steps": 40}, task={"name": "adding", "length": 8}, optimizer=None)
    config.optimizer = small().optimizer
    config.optimizer.lr = 1e-12  # nothing is learnt, and no score improves
    assert Spec(config).task.plateau > 40
    assert fit(config).summary()["steps"] == 40
