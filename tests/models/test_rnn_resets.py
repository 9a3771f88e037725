"""`resets` of RNN: pieces of a row that know nothing of each other, in both directions, against separate calls."""

from typing import Any

import pytest
import torch
from cells.variants import DEFAULTS, FEW, Variant, normal
from designs import over
from tolerances import FLOAT64
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gatelab.errors import UserError
from gatelab.models import RNN

T, B, D, H = 8, 3, 3, 5
RESETS = torch.zeros(B, T, dtype=torch.bool)
RESETS[0, 3], RESETS[0, 4], RESETS[1, 0], RESETS[2, 6] = True, True, True, True
LENGTHS = torch.tensor([T, 5, 7])


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=FLOAT64, atol=FLOAT64)


def pieces(rnn: RNN, x: Tensor, row: int, length: int, hx: tuple[Tensor, ...], restart: tuple[Tensor, ...]) -> tuple[Tensor, Any]:
    """One layer: a row cut at its resets, every piece alone; outputs, and the last states of both directions."""
    cuts = [t for t in range(1, length) if RESETS[row, t]]
    outputs, firsts = [], []
    last = None
    for begin, end in zip([0, *cuts], [*cuts, length], strict=True):
        at_start = begin > 0 or bool(RESETS[row, 0])
        sides = [restart if at_start else hx, hx if end == length else restart]  # of the two directions
        start = tuple(
            torch.stack([side[part][index, row] for index, side in enumerate(sides[: len(rnn.layers)])]) for part in range(len(hx))
        )
        output, last = rnn(x[begin:end, row], start)
        outputs.append(output)
        firsts.append(last)
    assert last is not None
    ends = [tuple(part[0] for part in last), tuple(part[-1] for part in firsts[0])]
    return torch.cat(outputs), ends[: len(rnn.layers)]


@over(
    "variant",
    DEFAULTS,
    quick=lambda variant, ended, backend: variant.name in FEW or backend == "eager",
    ended=[pytest.param(False, id="whole"), pytest.param(True, id="lengths")],
    backend=["cpu", "eager"],
)
def test_pieces_know_nothing_of_each_other(variant: Variant, ended: bool, backend: str) -> None:
    for both in (False, True):
        if backend == "cpu" and variant.cell().memory is not None:
            backend = "auto"
        rnn = variant.rnn(D, H, bidirectional=both, backend=backend)
        alone = variant.rnn(D, H, bidirectional=both, backend="eager")
        x = normal(T, B, D)
        shape = (len(rnn.layers), B, H)
        hx, restart = (
            tuple(torch.tanh(normal(*shape, seed=seed + part)) for part in range(len(rnn.cell.state))) for seed in (5, 9)
        )
        ends = LENGTHS if ended else None
        for given in (restart, None):
            start = given or tuple(map(torch.zeros_like, restart))
            output, last = rnn(x, hx, ends, RESETS, given)
            for row in range(B):
                length = int(LENGTHS[row]) if ended else T
                expected, states = pieces(alone, x, row, length, hx, start)
                close(output[:length, row], expected)
                for index, state in enumerate(states):
                    for part, value in zip(last, state, strict=True):
                        close(part[index, row], value)


def test_layouts_of_the_input_and_traces() -> None:
    rnn = Variant("lstm", {}).rnn(D, H, 0.8, num_layers=2, bidirectional=True, batch_first=True)
    other = Variant("lstm", {}).rnn(D, H, 0.8, num_layers=2, bidirectional=True)
    x = normal(B, T, D)
    expected = rnn(x, resets=RESETS)[0]
    close(other(x.transpose(0, 1), resets=RESETS)[0].transpose(0, 1), expected)
    close(rnn(x[0], resets=RESETS[0])[0], expected[0])
    output, _, layers = rnn.trace(x, resets=RESETS)
    close(output, expected)
    close(torch.cat([layers["1"].states["h"], layers["1_reverse"].states["h"]], -1), expected)
    packed = pack_padded_sequence(x, LENGTHS, True, enforce_sorted=False)
    close(pad_packed_sequence(rnn(packed, resets=RESETS)[0], True)[0], rnn(x, lengths=LENGTHS, resets=RESETS)[0])


def test_what_does_not_fit_is_refused() -> None:
    rnn = Variant("lstm", {}).rnn(D, H)
    x = normal(T, B, D)
    for wrong in (RESETS.T, RESETS.float(), RESETS[0]):
        with pytest.raises(UserError, match=r"resets must be booleans of shape \(B, T\) = \(3, 8\), but they are"):
            rnn(x, resets=wrong)
    with pytest.raises(UserError, match="restart is the state at resets, but none are given"):
        rnn(x, restart=(normal(1, B, H), normal(1, B, H)))
    with pytest.raises(UserError, match="the restart has shapes"):
        rnn(x, resets=RESETS, restart=(normal(1, B, H),))
    with pytest.raises(UserError, match="restart state c is float32"):
        rnn(x, resets=RESETS, restart=(normal(1, B, H), normal(1, B, H).float()))
