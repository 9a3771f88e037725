"""A user's cell is compared with the eager loop when it is compiled; a kernel that computes something else is not used."""

import functools
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from cells.variants import normal
from kernels.test_scan import Crossed
from torch import Tensor

from gatelab.cells import CELLS, Attention, Cell
from gatelab.errors import UserError
from gatelab.kernels import _serving
from gatelab.kernels._operators import OPERATORS
from gatelab.kernels.cpu import _call, _source, _verify
from gatelab.models import RNN

aten = torch.ops.aten


@dataclass(frozen=True)
class Own(Cell):
    """A leaky unit whose rate is a function of its own."""

    reads: bool = False
    gates = {"r": "rate", "u": "update"}
    vectors = ("p_u",)

    @property
    def memory(self) -> Attention | None:
        return Attention("additive", 2) if self.reads else None

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        r = torch.where(a.r > 0, torch.exp(-a.r), 1 - 0.5 * torch.exp(a.r))
        return {"h": r * s.h + torch.rsub(r, 1.0) * torch.tanh(a.u + p.p_u * s.h)}, {}


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Nothing is known of any cell before and after a test."""

    def forget() -> None:
        for cache in (_verify._difference, _call.library, _source.equations, _serving._said):
            cache.clear() if isinstance(cache, set) else cache.cache_clear()

    forget()
    yield
    forget()


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize("cell", [Own(), Own(True), Crossed()], ids=repr)
def test_a_right_kernel_serves(cell: Cell, dtype: torch.dtype) -> None:
    _call.library(cell, dtype)
    assert _verify.difference(cell, dtype) is None


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.float64, marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize(
    ("operator", "form"),
    [
        (aten.exp.default, "exp_of({0}) + (real)0.01"),
        (aten.rsub.Scalar, "{1} - {0} * 2"),
        (aten.gt.Scalar, "{0} < {1}"),
        (aten.neg.default, "{0}"),
    ],
    ids=str,
)
def test_a_wrong_operator_is_named_and_eager_is_used(
    operator: Any, form: str, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(OPERATORS, operator, replace(OPERATORS[operator], form=form))
    results = []
    with caplog.at_level(logging.WARNING):
        for backend in ("eager", "auto", "auto"):
            torch.manual_seed(0)
            results.append(RNN(Own(), 3, 4, backend=backend, dtype=dtype)(normal(5, 2, 3).to(dtype))[0])
    assert all(torch.equal(results[0], other) for other in results[1:])
    messages = [record.getMessage() for record in caplog.records if "Own" in record.getMessage()]
    assert len(messages) == 1
    assert "computes other numbers than the eager loop" in messages[0]
    assert f"The operator {operator} is the first that differs." in messages[0]
    with pytest.raises(UserError, match="computes other numbers than the eager loop"):
        RNN(Own(), 3, 4, backend="cpu", dtype=dtype)(normal(5, 2, 3).to(dtype))


def test_a_wrong_loop_is_found_and_the_operators_are_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every operator is right, and what calls them is not: the vectors of parameters are read from the wrong place."""
    part = _source.part
    wrong = "vectors[i] = *(const V *)(w->vectors + (i * p->Hv + v) * LANES)"
    assert wrong in part("loop")
    monkeypatch.setattr(_source, "part", lambda name: part(name).replace(wrong, "vectors[i] = all(0)"))
    _call.library(Own(), torch.float32)
    message = _verify.difference(Own(), torch.float32)
    assert message is not None
    assert "the output differs by" in message
    assert "Its operators are " in message
    assert "aten.exp.default" in message


def test_the_cells_of_the_package_are_left_to_its_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_verify, "_difference", functools.cache(lambda cell, dtype: "asked"))
    assert {_verify.difference(CELLS.build(name), torch.float32) for name in CELLS.names()} == {None}
    assert _verify.difference(Own(), torch.float32) == "asked"


@pytest.mark.parametrize(
    "mode", [torch.inference_mode, torch.no_grad, lambda: torch.autocast("cpu"), lambda: torch.device("meta")], ids=range(4)
)
def test_the_mode_of_the_caller_does_not_enter(mode: Any) -> None:
    _call.library(Own(), torch.float32)
    state = torch.get_rng_state()
    with mode():
        assert _verify.difference(Own(), torch.float32) is None
    assert torch.equal(torch.get_rng_state(), state)
