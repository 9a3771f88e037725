"""Growth of states in closed form."""

import math

import pytest
import torch

from gatelab.diagnostics import states


def test_norms_and_mean() -> None:
    values = torch.tensor([[[3.0, 4.0], [0.0, 1.0]], [[6.0, 8.0], [5.0, 12.0]]])
    by_row = states.norms(values)
    assert by_row.tolist() == [[5, 1], [10, 13]]
    assert states.mean(by_row, None) == 7.25
    assert states.mean(by_row, torch.tensor([2, 1])) == pytest.approx(16 / 3)


def test_growth() -> None:
    """Half a unit a step, in bins of four steps; a bin without a row is left out."""
    line = torch.tensor([1.0, 3.0, math.nan, 7.0, 9.0])
    assert states.growth(line, 4) == pytest.approx(0.5)
    assert states.growth(torch.ones(6), 1) == 0
    assert math.isnan(states.growth(torch.tensor([1.0, math.nan]), 1))
