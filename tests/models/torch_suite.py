"""What the tests of RNN in the way of torch's own share: five cells, both backends, every layout."""

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from cells.variants import normal
from tolerances import FLOAT64
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gatelab.models import RNN

T, B, D, H = 7, 4, 3, 5
LENGTHS = [5, 7, 2, 7]  # not in order: what pack_padded_sequence calls enforce_sorted=False
DIRECTIONS = list(itertools.product((1, 2), (False, True), (False, True)))  # layers, both directions, batch first


each_cell_and_backend = [
    pytest.mark.parametrize("name", ["lstm", "gru", "rnn", "cifg", "peephole"]),
    pytest.mark.parametrize("backend", ["cpu", "eager"]),
]


def make(name: str, backend: str, layers: int = 1, both: bool = False, first: bool = False, **settings: Any) -> RNN:
    torch.manual_seed(3)
    settings = {"dtype": torch.float64, "batch_first": first, "bidirectional": both} | settings
    return RNN(name, D, H, layers, backend=backend, **settings)


def inputs(rnn: RNN, *, rows: int = B, dtype: torch.dtype = torch.float64) -> tuple[Tensor, tuple[Tensor, ...]]:
    """An input in the module's layout and a state."""
    x = normal(rows, T, D, dtype=dtype) if rnn.batch_first else normal(T, rows, D, dtype=dtype)
    shape = (len(rnn.layers), rows, H)
    return x, tuple(normal(*shape, seed=9 + part, dtype=dtype) for part in range(len(rnn.cell.state)))


def flat(result: Any) -> list[Tensor]:
    output, last = result
    return [output.data if isinstance(output, PackedSequence) else output, *last]


def close(ours: Any, theirs: Any, tolerance: float = FLOAT64) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def gradients(rnn: nn.Module, result: Any, *others: Tensor) -> list[Tensor]:
    loss = sum((value * normal(*value.shape, seed=30 + n, dtype=value.dtype)).sum() for n, value in enumerate(flat(result)))
    return list(torch.autograd.grad(loss, [*rnn.parameters(), *others]))  # type: ignore[arg-type]


def modules(name: str, backend: str) -> Iterator[RNN]:
    for layers, both, first in DIRECTIONS:
        yield make(name, backend, layers, both, first)


def peer(rnn: RNN) -> nn.RNNBase | None:
    return None if rnn.cell.peer is None else rnn.to_torch()


def as_theirs(state: tuple[Tensor, ...]) -> Any:
    """torch takes a bare tensor where the state has one part."""
    first, *others = state
    return state if others else first
