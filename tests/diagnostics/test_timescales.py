"""Timescales and retention in closed form."""

import math

import pytest
import torch
from cells.variants import Variant, each_default, normal
from tolerances import FLOAT64

from gatelab.cells import Parts
from gatelab.diagnostics import timescales


def test_timescale() -> None:
    """A constant f keeps 1/e of a state over -1 / ln f steps: nothing, a step, nine and a half, for ever."""
    constant = torch.tensor([0.0, 1 / math.e, 0.9, 1.0]).expand(5, -1)
    assert timescales.timescale(constant).tolist() == pytest.approx([0, 1, -1 / math.log(0.9), math.inf])
    assert timescales.timescale(torch.tensor([[1 + 1e-6], [-1e-7], [1.0]])).tolist() == [0]  # rounding leaves the range


def test_a_timescale_says_what_is_retained() -> None:
    """Where f varies, 1/e of a state is left after the timescale; 1 / (1 - E f) overstates that."""
    kept = torch.sigmoid(2 + 2 * normal(20_000, 1, 1, dtype=torch.float64))
    tau = timescales.timescale(kept[:, 0]).item()
    left = kept[: round(100 * tau)].prod().item()  # over a hundred timescales, where the mean over the steps is close
    assert math.log(left) / -100 == pytest.approx(1, abs=0.1)
    assert 1 / (1 - kept.mean().item()) > 1.2 * tau


def test_quantiles_are_values_of_units() -> None:
    values = torch.tensor([math.inf, 3.0, 1.0, 2.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0], dtype=torch.float64)
    assert timescales.quantiles(values) == {"q10": 2, "q50": 6, "q90": 10, "max": math.inf}
    assert timescales.quantiles(torch.tensor([2.0, math.inf], dtype=torch.float64))["q90"] == math.inf


@pytest.mark.parametrize("length", [1, 2, 63, 64, 65, 100, 1000, 10**6])
def test_lags(length: int) -> None:
    found = timescales.lags(length).tolist()
    assert found[0] == 0
    assert found[-1] == length - 1
    assert found == sorted(set(found))
    assert len(found) == length if length <= 64 else 30 <= len(found) <= 64
    if length == 10**6:  # a decade above 10 has as many lags as any other
        counts = [sum(10**k <= lag < 10 ** (k + 1) for lag in found) for k in range(2, 6)]
        assert max(counts) - min(counts) <= 1


def test_by_lag() -> None:
    values = torch.arange(8).view(4, 2)
    assert timescales.by_lag(values, None).tolist() == [[6, 7], [4, 5], [2, 3], [0, 1]]
    assert timescales.by_lag(values, torch.tensor([4, 2])).tolist() == [[6, 3], [4, 1], [2, 5], [0, 7]]
    twice = timescales.by_lag(timescales.by_lag(values, torch.tensor([3, 2])), torch.tensor([3, 2]))
    assert torch.equal(twice, values)


def test_retention_of_a_constant_gate() -> None:
    at = torch.tensor([0, 1, 5, 40])
    found = timescales.retention(torch.full((40, 3, 2), 0.9, dtype=torch.float64), None, at)
    assert found.tolist() == pytest.approx([1, 0.9, 0.9**5, 0.9**40], rel=FLOAT64)


def test_retention_counts_back_from_the_end_of_each_row() -> None:
    kept = torch.tensor([[0.5, 0.1], [0.25, 0.2], [0.0, 7.0]], dtype=torch.float64)[..., None]
    found = timescales.retention(kept, torch.tensor([3, 2]), torch.tensor([0, 1, 2, 3]))
    # Row 0: 1, 0, 0, 0. Row 1, two steps: 1, 0.2, 0.02.
    assert found.tolist() == pytest.approx([1, 0.1, 0.01, 0], abs=FLOAT64)


@each_default
def test_the_retention_gate_is_the_factor_on_the_old_state(variant: Variant) -> None:
    """What the declaration claims, measured: with pre-activations held fixed, d s(t)/d s(t-1) of one part of the state."""
    cell = variant.cell()
    a = {name: normal(5, seed=k) for k, name in enumerate(cell.gates)}
    s = {name: normal(5, seed=9 + k).requires_grad_() for k, name in enumerate(cell.state)}
    p = {name: torch.zeros(5, dtype=torch.float64) for name in cell.vectors}
    state, gates = cell.step(Parts(**a), Parts(**s), Parts(**p))
    if cell.retention not in gates:
        return
    carried = [name for name in cell.state if state[name].requires_grad]
    factors = [torch.autograd.grad(state[name].sum(), s[name], allow_unused=True, retain_graph=True)[0] for name in carried]
    assert any(factor is not None and torch.allclose(factor, gates[cell.retention], rtol=FLOAT64) for factor in factors)


def test_cells_with_a_retention_gate_have_one() -> None:
    assert Variant("gru", {}).cell().retention == "update"
    assert Variant("lstm", {}).cell().retention == "forget"
