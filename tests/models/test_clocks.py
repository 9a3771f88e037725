"""Clocks of single units: how the time between steps moves them, and where their periods start."""

import math

import torch
from cells.variants import normal
from tolerances import FLOAT32, FLOAT64

from gatelab.models import RNN

T, B, D, H = 30, 2, 3, 400


def test_one_long_step_moves_a_clock_as_far_as_several_short_ones() -> None:
    torch.manual_seed(0)
    rnn = RNN("phased_lstm", D, H, backend="eager", dtype=torch.float64)
    zeros = torch.zeros(1, B, H, dtype=torch.float64)
    short, long = (
        rnn(normal(steps, B, D), (zeros, zeros, zeros), times=torch.full((B, steps), passed, dtype=torch.float64))[1][2]
        for steps, passed in ((5, 1.0), (1, 5.0))
    )
    # the end of a period is the beginning of the next one
    apart = (short - long).detach().abs()
    assert float(torch.minimum(apart, 1 - apart).max()) < FLOAT64
    assert float(long.detach().std()) > 0.1


def test_periods_start_uniform_in_their_logarithm() -> None:
    """From 1 to `longest`, and shifts within a period; so a unit is open at about a twentieth of all steps."""
    torch.manual_seed(0)
    rnn = RNN("phased_lstm", D, H, longest=20.0, dtype=torch.float64)
    periods, shift = (rnn.layers["0"].get_parameter(name).detach() for name in ("v", "shift"))
    for value, largest in ((periods, math.log(20)), (shift, 1.0)):
        assert 0 <= float(value.min()) < 0.05 * largest < 0.95 * largest < float(value.max()) <= largest + FLOAT32
        assert abs(float(value.mean()) / largest - 0.5) < 0.1
    _, _, traces = rnn.trace(normal(T, B, D))
    opened = (traces["0"].gates["opening"] > 0.001).double().mean()
    assert 0.04 < float(opened.detach()) < 0.06
