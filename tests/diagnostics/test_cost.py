"""FLOPs of a training step, counted by hand."""

from gatelab.cells import CELLS
from gatelab.diagnostics.cost import training_flops


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
