"""Optimisers and schedules."""

import copy
import math

import pytest
import torch
from torch import nn

from gatelab.config import GROUPS, AdamW, Schedule
from gatelab.errors import UserError
from gatelab.training.optimizer import COMPARED, build_optimizer, clip_gradients, rate_factor

OF_TORCH = {"adamw": torch.optim.AdamW, "sgd": torch.optim.SGD, "rmsprop": torch.optim.RMSprop}
SHAPES = ((7, 3), (5,), (), (64, 33))


def weights(dtype: torch.dtype = torch.float32) -> list[nn.Parameter]:
    torch.manual_seed(0)
    return [nn.Parameter(torch.randn(shape, dtype=dtype)) for shape in SHAPES]


def gradients(parameters: list[nn.Parameter]) -> list[torch.Tensor]:
    return [value.grad.clone() for value in parameters if value.grad is not None]


def set_gradients(parameters: list[nn.Parameter], seed: int, size: float = 1.0, without: int | None = None) -> None:
    generator = torch.Generator().manual_seed(seed)
    for number, value in enumerate(parameters):
        gradient = size * torch.randn(value.shape, dtype=value.dtype, generator=generator)
        value.grad = None if number == without else gradient


def same(ours: list[torch.Tensor], theirs: list[torch.Tensor]) -> bool:
    """Whether all bits are the same, but for those of what is no number."""
    return all(torch.equal(*(each.nan_to_num(7) for each in pair)) for pair in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adamw_makes_the_steps_of_torchs_own(dtype: torch.dtype):
    config = AdamW(lr=0.01, weight_decay=0.1, beta1=0.8)
    ours, theirs = weights(dtype), weights(dtype)
    lean = build_optimizer(config, ours)
    whole = torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.1, betas=(0.8, config.beta2), fused=True)
    for step in range(6):
        for optimizer, parameters in ((lean, ours), (whole, theirs)):
            set_gradients(parameters, step, without=2 if step == 4 else None)
            optimizer.param_groups[0]["lr"] = 0.01 / (step + 1)
            optimizer.step()
        if step == 2:  # as from a checkpoint
            lean.load_state_dict(copy.deepcopy(whole.state_dict()))
    assert all(torch.equal(*pair) for pair in zip(ours, theirs, strict=True))
    for one, other in zip(lean.state.values(), whole.state.values(), strict=True):
        assert one.keys() == other.keys()
        assert same([*one.values()], [*other.values()])


def test_adamw_counts_its_steps_and_calls_a_closure():
    (value,) = parameters = [nn.Parameter(torch.ones(2))]
    optimizer = build_optimizer(AdamW(), parameters)
    for _ in range(3):
        value.grad = torch.ones(2)
        assert optimizer.step(lambda: 5.0) == 5.0
        optimizer.step()
    assert optimizer.state[value]["step"].item() == 6


def test_the_installed_torch_was_compared_with():
    assert torch.__version__.startswith(COMPARED), "call the tests above and add the version to COMPARED"


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3, math.inf, math.nan])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clipping_computes_what_torchs_own_does(dtype: torch.dtype, size: float):
    ours, theirs = weights(dtype), weights(dtype)
    for parameters in (ours, theirs):
        set_gradients(parameters, 1, size, without=1)
    found = clip_gradients(ours, 2.0)
    assert same([found], [torch.nn.utils.clip_grad_norm_(theirs, 2.0)])
    assert [value.grad is None for value in ours] == [value.grad is None for value in theirs]
    assert same(gradients(ours), gradients(theirs))


def test_without_a_limit_gradients_stay_as_they_are():
    parameters = weights()
    set_gradients(parameters, 1, 100.0)
    before = gradients(parameters)
    assert torch.equal(clip_gradients(parameters, None), torch.nn.utils.get_total_norm(before))
    assert same(gradients(parameters), before)
    assert clip_gradients([nn.Parameter(torch.ones(2))], 1.0).item() == 0.0


@pytest.mark.parametrize("name", GROUPS["optimizer"])
def test_every_optimiser_is_torchs_own(name):
    config = GROUPS["optimizer"][name](lr=0.125)
    assert config.name == name
    optimizer = build_optimizer(config, [nn.Parameter(torch.zeros(1))])
    assert isinstance(optimizer, OF_TORCH[name])
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
