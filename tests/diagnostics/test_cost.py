"""FLOPs of a training step, counted by hand; and the costs that cells state."""

import inspect
import re

import pytest
from cells.variants import CELL_NAMES

from gatelab.cells import CELLS, parameter_count
from gatelab.diagnostics.cost import flops_per_step, model_flops_per_step, pointwise_operators, training_flops
from gatelab.models import RNN, SequenceModel


def test_products_of_cells_without_memory():
    # B = 2, T = 3, D = 5, H = 7. lstm: I = J = 4, F = 1: W has 4 7 5 = 140 entries, R 4 7 7 = 196.
    # Forward 2 B T (140 + 196) = 12 336 = 4032; backward 12 (196 + 140 + 196) = 6384.
    assert training_flops(CELLS.build("lstm"), 2, 3, 5, 7) == 4032 + 6384
    # gru: I = J = 3: 105 and 147. Forward 12 252 = 3024, backward 12 (147 + 105 + 147) = 4788.
    assert training_flops(CELLS.build("gru"), 2, 3, 5, 7) == 3024 + 4788
    # rnn: W has 35 entries and R 49.
    assert training_flops(CELLS.build("rnn"), 2, 3, 5, 7) == 12 * 84 + 12 * 133


def test_the_read_of_a_memory():
    # K and P are 7 x 7 and count as R (three products), Q is 7 x 5 and counts as W (two): 12 (2 35 + 6 49) = 4368.
    # Window 2: the steps read 1, 2 and 2 entries; each is scored, 2 H, and summed in both parts of the state, 4 H: 42; three times
    # for forward and backward, B = 2 rows: 3 2 5 42 = 1260.
    assert training_flops(CELLS.build("attention", window=2), 2, 3, 5, 7) == 4032 + 6384 + 4368 + 1260
    # All of them: 1 + 2 + 3 entries.
    assert training_flops(CELLS.build("attention", window=None), 2, 3, 5, 7) == 4032 + 6384 + 4368 + 1512


def test_a_step_of_a_whole_model():
    # Two directions, two layers: D = 5 and then 2 H = 14. lstm, H = 7: 2 (4 7 5 + 4 7 7) = 672 and 2 (4 7 14 + 196) = 1176; the
    # head of 3 outputs on every step: 2 3 14 = 84.
    pointwise = 7 * pointwise_operators(CELLS.build("lstm"))
    rnn = RNN("lstm", 5, 7, num_layers=2, bidirectional=True, batch_first=True)
    assert model_flops_per_step(SequenceModel(rnn, 3), 10) == 2 * (672 + 1176 + 2 * pointwise) + 84
    assert model_flops_per_step(SequenceModel(rnn, 3, "last"), 10) == 2 * (672 + 1176 + 2 * pointwise)


def test_a_step_reads_as_much_memory_as_there_is_on_average():
    # 9 steps read 1 to 9 entries, 5 on average; with a window of 3 they read 1, 2, 3, 3, ...: 24 / 9, rounded 3.
    for window, entries in ((None, 5), (3, 3)):
        cell = CELLS.build("attention", window=window)
        model = SequenceModel(RNN(cell, 5, 7, batch_first=True), 3, "last")
        assert model_flops_per_step(model, 9) == flops_per_step(cell, 5, 7, entries)


def test_the_operators_of_a_step_are_those_of_its_equations():
    # rnn: tanh. lstm: 3 sigmoid, 2 tanh, 3 products, 1 sum. cifg: 2 sigmoid, 2 tanh, 3 products, 1 sum, 1 - f.
    assert {name: pointwise_operators(CELLS.build(name)) for name in ("rnn", "lstm", "cifg")} == {"rnn": 1, "lstm": 9, "cifg": 9}


COST = re.compile(r"Cost: ([^;.]+) parameters and ([^;.]+) FLOPs a step")
STATED = {name: COST.search(" ".join((inspect.getdoc(CELLS.get(name)) or "").split())) for name in CELL_NAMES}


@pytest.mark.parametrize("name", [name for name, stated in STATED.items() if stated])
def test_a_cell_costs_what_its_docstring_says(name: str) -> None:
    """The formulas are read as products where nothing stands between two factors: 2H(D + 1)."""
    cell, D, H = CELLS.build(name), 5, 7
    for stated, counted in zip(STATED[name].groups(), (parameter_count(cell, D, H), flops_per_step(cell, D, H)), strict=True):  # type: ignore[union-attr]
        product = re.sub(r"(?<=[\dDH)])(?=[DH(])", "*", stated)
        assert re.fullmatch(r"[\dDH()+* ]+", product), stated
        assert eval(product, {"D": D, "H": H}) == counted, stated
