"""Layer normalisation beside a cell, which makes a cell of any cell."""

from types import SimpleNamespace

import pytest
import torch
from cells.variants import DEFAULTS, Variant, normal
from kernels.test_cpu import agree, compute
from tolerances import FLOAT64

from gatelab.cells import CELLS, equations, normalized
from gatelab.models import RNN

# Of the others `step` reads sums of pre-activations and of what is carried, or products.
PLAIN = [variant for variant in DEFAULTS if not variant.cell().late and not variant.cell().delay]


def test_the_step_reads_normalised_pre_activations() -> None:
    """Of all cells: their own step of what torch normalises."""
    for variant in PLAIN:
        cell, own = normalized(variant.cell()), variant.cell()
        a, s, p = (
            {name: normal(2, 6, seed=9 * number + place) for place, name in enumerate(names)}
            for number, names in enumerate((cell.gates, cell.state, cell.vectors))
        )
        read = a | {
            name: torch.nn.functional.layer_norm(value, (6,)) * p[f"norm_gain_{name}"] + p[f"norm_shift_{name}"]
            for name, value in a.items()
            if f"norm_gain_{name}" in p  # the others are the input itself or the time
        }
        expected, _ = own.step(*(SimpleNamespace(**part) for part in (read, s, p)))
        found, _ = cell.step(*(SimpleNamespace(**part) for part in (a, s, p)))
        torch.testing.assert_close(found, expected, rtol=FLOAT64, atol=FLOAT64, equal_nan=True)


@pytest.mark.slow
def test_every_cell_keeps_the_contract_and_is_written() -> None:
    for name in CELLS.names():
        cell = normalized(CELLS.build(name))
        cell.check(name)
        assert any("normalize(" in line.text for line in equations(cell)), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gru_cho", "attention"])
def test_the_compiled_loop_agrees(name: str) -> None:
    """With a second product, and with a read of earlier states."""
    cell = normalized(CELLS.build(name))
    shape = (3, 7, 5, 9)
    agree(compute(cell, "cpu", shape, torch.float64), compute(cell, "eager", shape, torch.float64), 10 * FLOAT64)


def test_shifts_start_from_the_biases_of_the_cell() -> None:
    """A constant bias within a normalisation would have no effect."""
    rnn = RNN(normalized(CELLS.build("lstm", forget_bias=2.0)), 3, 4)
    start = dict(rnn.layers["0"].named_parameters())
    assert start["norm_shift_f"].tolist() == [2.0] * 4
    assert start["norm_shift_i"].tolist() == start["norm_shift_z"].tolist() == [0.0] * 4
    assert start["norm_gain_f"].tolist() == [1.0] * 4
    assert not start["b"].any()


def test_it_is_another_cell_with_the_same_name() -> None:
    own = Variant("lstm", {}).cell()
    cell = normalized(own)
    assert cell == normalized(own)
    assert cell != own
    assert repr(cell) != repr(own)
    assert CELLS.name_of(type(cell)) == "lstm"
    assert cell.peer is None
