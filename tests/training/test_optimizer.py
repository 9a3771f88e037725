"""Optimisers and schedules."""

import math

import pytest
import torch
from torch import nn

from gatelab.config import GROUPS, Schedule
from gatelab.errors import UserError
from gatelab.training.optimizer import build_optimizer, rate_factor


@pytest.mark.parametrize("name", GROUPS["optimizer"])
def test_every_optimiser_is_torchs_own(name):
    config = GROUPS["optimizer"][name](lr=0.125)
    assert config.name == name
    optimizer = build_optimizer(config, [nn.Parameter(torch.zeros(1))])
    assert type(optimizer).__name__.lower() == name
    (group,) = optimizer.param_groups
    assert group["lr"] == 0.125
    for field in ("weight_decay", "momentum", "nesterov", "alpha"):
        if hasattr(config, field):
            assert group[field] == getattr(config, field)


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        (Schedule("constant"), {0: 1, 50: 1, 100: 1}),
        (Schedule("linear", final=0.2), {0: 1, 50: 0.6, 100: 0.2, 150: 0.2}),
        (Schedule("cosine"), {0: 1, 25: (1 + math.sqrt(0.5)) / 2, 50: 0.5, 100: 0}),
        (Schedule("exponential", final=0.01), {0: 1, 50: 0.1, 100: 0.01}),
        (Schedule("linear", warmup_steps=20), {0: 0.05, 19: 1, 20: 1, 60: 0.5, 100: 0}),
    ],
)
def test_schedules(schedule, expected):
    factor = rate_factor(schedule, 100)
    assert {step: factor(step) for step in expected} == pytest.approx(expected)


def test_an_unknown_schedule_is_refused():
    with pytest.raises(UserError, match="Did you mean 'cosine'"):
        Schedule("cosin")
