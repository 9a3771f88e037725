"""Losses that are left on a GPU until something reads them."""

import math
from typing import Any

import pytest
import torch
from training.resuming import Cut, assert_same, checkpoint, cut_at, only_run

from gatelab.config import Machine
from gatelab.runs import read_run
from gatelab.tasks import Batch
from gatelab.training.failures import NonFiniteLossError, RunFailedError
from gatelab.training.fit import fit
from gatelab.training.module import SequenceModule
from gatelab.training.prepare import build_model
from gatelab.training.spec import Spec


@pytest.fixture
def module(small: Any) -> SequenceModule:
    spec = Spec(small())
    return SequenceModule(build_model(spec), spec)


def leave(module: SequenceModule, *values: float, first: int = 0) -> None:
    module._unread += [(first + step, torch.tensor(value)) for step, value in enumerate(values)]


def test_reading_gives_the_last_one(module: SequenceModule):
    assert math.isnan(module.loss)
    leave(module, 3.0, 2.0, 1.5)
    assert module.loss == 1.5
    assert module.loss == 1.5
    assert not module._unread


def test_one_that_is_not_finite_is_noticed_at_its_step(module: SequenceModule):
    leave(module, 3.0, math.inf, 1.5, first=7)
    with pytest.raises(NonFiniteLossError, match="The training loss is inf at step 8"):
        module.read_losses()


@pytest.mark.parametrize("hook", ["on_validation_epoch_end", "on_save_checkpoint"])
def test_nothing_is_scored_or_kept_before_they_are_read(module: SequenceModule, hook: str):
    leave(module, math.nan)
    with pytest.raises(NonFiniteLossError):
        getattr(module, hook)(*([{}] if hook == "on_save_checkpoint" else []))


@pytest.mark.slow
def test_a_run_that_leaves_them_is_the_same_run(small: Any, monkeypatch: pytest.MonkeyPatch):
    """Here the losses stay as they would on a GPU, while everything is computed on the CPU."""
    whole = fit(small("whole"))
    monkeypatch.setattr(SequenceModule, "deferred", True)
    assert_same(fit(small("left")), whole)
    config = small("cut", machine=Machine(checkpoint_steps=3))
    for step in (5, 14):
        with monkeypatch.context() as patch:
            cut_at(patch, step)
            with pytest.raises(Cut):
                fit(config)
    assert_same(fit(config), whole)


@pytest.mark.slow
@pytest.mark.parametrize("machine", [Machine(), Machine(checkpoint_steps=1)], ids=["plain", "checkpoints"])
def test_a_run_that_diverges_between_two_lines_keeps_nothing_of_it(small: Any, monkeypatch: pytest.MonkeyPatch, machine: Machine):
    original = SequenceModule._outputs

    def broken(self: SequenceModule, batch: Batch, phase: str) -> torch.Tensor:
        return original(self, batch, phase) * (torch.nan if self.global_step == 12 and phase == "train" else 1.0)

    monkeypatch.setattr(SequenceModule, "_outputs", broken)
    monkeypatch.setattr(SequenceModule, "deferred", True)
    config = small(machine=machine)
    with pytest.raises(RunFailedError, match="The training loss is nan at step 12"):
        fit(config)
    run = read_run(only_run(config.out))
    assert run.diverged
    kept = checkpoint(run, "last")
    assert kept["global_step"] <= 12
    assert all(value.isfinite().all() for value in kept["state_dict"].values())
