"""Functions over the units of a row: their values and derivatives, and what is made of a cell that calls them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cells.variants import DEFAULTS, normal
from kernels.reducing_cells import Reducing, ReducingLate
from torch import Tensor

from gatelab.cells import Cut, cumulate, largest, mean, normalize, normalize_together, reductions_of, softmax, total
from gatelab.kernels.cpu._source import equations, source

X = normal(3, 5, seed=1)
PAIRS: list[tuple[Callable[..., Tensor], Callable[..., Tensor]]] = [
    (total, lambda x: x.sum(-1, keepdim=True) + torch.zeros_like(x)),
    (mean, lambda x: x.mean(-1, keepdim=True) + torch.zeros_like(x)),
    (largest, lambda x: x.amax(-1, keepdim=True) + torch.zeros_like(x)),
    (cumulate, lambda x: torch.stack([x[:, : unit + 1].sum(-1) for unit in range(5)], -1)),
    (softmax, lambda x: torch.softmax(x, -1)),
    (normalize, lambda x: torch.nn.functional.layer_norm(x, (5,))),
]


@pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=[ours.__name__ for ours, _ in PAIRS])
def test_values_are_those_of_torch(ours: Any, theirs: Any) -> None:
    torch.testing.assert_close(ours(X), theirs(X))
    assert ours(X).shape == X.shape


@pytest.mark.parametrize("of", [total, mean, cumulate, softmax, normalize], ids=lambda of: of.__name__)
def test_derivatives_of_first_and_second_order(of: Any) -> None:
    x = X.clone().requires_grad_()
    assert torch.autograd.gradcheck(of, x)
    assert torch.autograd.gradgradcheck(of, x)


def test_several_values_are_normalised_as_one_row() -> None:
    together = torch.cat(normalize_together(X, 3 + 2 * X), -1)
    torch.testing.assert_close(together, torch.nn.functional.layer_norm(torch.cat([X, 3 + 2 * X], -1), (10,)))


def test_a_softmax_of_large_values_is_finite() -> None:
    torch.testing.assert_close(softmax(1000 + 2000 * X), torch.softmax(1000 + 2000 * X, -1))


def test_a_cut_takes_arguments_and_gives_results() -> None:
    with Cut(lambda number, of, x: x + number) as cut:
        found = mean(X) + total(2 * X)
    torch.testing.assert_close(found, X + (2 * X + 1))
    assert [of for of, _, _ in cut.calls] == [mean, total]


def test_what_is_computed_twice_is_reduced_once() -> None:
    assert len(reductions_of(ReducingLate())) == 7  # `before` and `step` both normalise a.r
    assert len(equations(ReducingLate(), torch.float64).reductions) == 5
    assert reductions_of(Reducing()).count("cumulate") == 3
    assert equations(Reducing(), torch.float64).reductions.count("cumulate") == 2


def test_cells_that_call_none_are_printed_without_them() -> None:
    cells = {variant.name: variant.cell() for variant in DEFAULTS}
    assert not reductions_of(cells["lstm"])
    assert "#define REDUCTIONS 0\n" in source(cells["lstm"], torch.float32)  # the default of layout.c
    assert "#define REDUCTIONS 6\n" in source(cells["ln_lstm"], torch.float32)
