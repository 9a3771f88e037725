"""No pruner ends a trial while its task may be on its plateau, where scores differ by chance alone."""

from types import SimpleNamespace
from typing import Any

import optuna
import pytest

from gatelab.sweeps.search.studies import _pruner


def pruned_at(pruner: str, plateau: int) -> set[int]:
    """The steps at which a trial that is worse than all before it would be pruned."""
    variant: Any = SimpleNamespace(val_every=100, max_steps=2000, plateau=plateau)
    options: Any = SimpleNamespace(pruner=pruner)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(pruner=_pruner(options, variant), sampler=optuna.samplers.RandomSampler(seed=0))
    steps = range(100, 2001, 100)
    for number in range(15):
        trial = study.ask()
        for step in steps:
            trial.report(0.5 + number / 1000, step)
            trial.should_prune()  # which notes where the trial stands
        study.tell(trial, 0.5 + number / 1000)
    found = set()
    for _ in range(10):
        trial = study.ask()
        for step in steps:
            trial.report(1.0, step)
            if trial.should_prune():
                found.add(step)
    return found


@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_trials_are_pruned_behind_the_plateau_alone(pruner: str) -> None:
    assert min(pruned_at(pruner, plateau=0)) < 600
    behind = pruned_at(pruner, plateau=600)
    assert behind
    assert min(behind) >= 600
    assert not any(step < 2000 for step in pruned_at(pruner, plateau=5000))
