"""Cells that are affine in their state: which ones are recognised, and that all time steps together are what the loop computes."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tolerances import FLOAT32, FLOAT64
from torch import Tensor, cos, sigmoid, sin, tanh

from gatelab.cells import CELLS, Cell
from gatelab.kernels import eager
from gatelab.kernels._affine import affine
from gatelab.models import RNN

T, B, D, H = 37, 4, 3, 5
LENGTHS = torch.tensor([T, 2, 1, 20])


@dataclass(frozen=True)
class Smoothed(Cell):
    """h = (1 - z) . h + z . n"""

    gates = {"z": "update", "n": "candidate"}
    sources = {"z": "input", "n": "input"}
    retention = "keep"
    vectors = ("p_n",)

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        z = sigmoid(a.z)
        return {"h": (1 - z) * s.h + z * p.p_n * a.n}, {"update": z, "keep": 1 - z}


@dataclass(frozen=True)
class Turned(Cell):
    """Two parts that are turned into each other, and an output that no step reads."""

    gates = {"f": "forget", "w": "angle", "u": "value", "o": "output"}
    sources = {name: "input" for name in "fwuo"}  # noqa: C420 - dict.fromkeys loses the type
    state = ("h", "re", "im")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f, o = sigmoid(a.f), sigmoid(a.o)
        re = f * (cos(a.w) * s.re - sin(a.w) * s.im) + a.u
        im = f * (sin(a.w) * s.re + cos(a.w) * s.im)
        return {"h": o * tanh(re), "re": re, "im": im}, {"forget": f, "output": o}


@dataclass(frozen=True)
class Chosen(Cell):
    """A where on the input, a quotient and a difference from a constant."""

    gates = {"f": "forget", "u": "value"}
    sources = {"f": "input", "u": "input"}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f = sigmoid(a.f)
        return {"h": 0.5 - torch.where(a.u > 0, f * s.h / 2, s.h / (1 + f)) + a.u}, {"forget": f}


def affine_parts(cell: Cell) -> tuple[str, ...]:
    found = affine(cell)
    return () if found is None else found.parts


def step_of(expression: Any) -> type[Cell]:
    @dataclass(frozen=True)
    class One(Chosen):
        def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
            f = sigmoid(a.f)
            return {"h": expression(f, a.u, s.h)}, {"forget": f}

    return One


AFFINE = [Smoothed(), Turned(), Chosen(), CELLS.build("qrnn", window=3)]
NOT_AFFINE = {
    "a function of the state": lambda f, u, h: f * tanh(h) + u,
    "a product of two states": lambda f, u, h: f * h * h + u,
    "a divisor": lambda f, u, h: u / (2 + h),
    "a gate that sees the state": lambda f, u, h: sigmoid(f + h) * h + u,
    "a choice by the state": lambda f, u, h: torch.where(h > 0, f * h, u),
    "a state without its derivative": lambda f, u, h: f * h.detach() + u,
    "an absolute value": lambda f, u, h: f * h.abs() + u,
}


def test_parts_that_are_carried() -> None:
    assert [affine_parts(cell) for cell in AFFINE] == [("h",), ("re", "im"), ("h",), ("c",)]


def test_what_is_carried_of_earlier_inputs_is_moved_on() -> None:
    found = affine(AFFINE[3])
    assert found is not None
    assert found.shifted == ("z_x2", "f_x2", "o_x2", "z_x1", "f_x1", "o_x1")


@pytest.mark.parametrize("expression", NOT_AFFINE.values(), ids=NOT_AFFINE.keys())
def test_what_is_not_affine(expression: Any) -> None:
    assert affine_parts(step_of(expression)()) == ()


def test_cells_with_a_recurrent_product_are_not_affine() -> None:
    """Over the registry: what is recognised has no part R h, and a change of the state has the same effect in all states."""
    for name in CELLS.names():
        cell = CELLS.build(name)
        if affine_parts(cell):
            assert not cell.recurrent_gates, name
            _check_constant_slope(cell)


def _check_constant_slope(cell: Cell) -> None:
    """A disturbance of the carried parts changes the next ones by the same at two states."""
    generator = torch.Generator().manual_seed(0)

    def normal() -> Tensor:
        return torch.randn(3, 8, generator=generator, dtype=torch.float64)

    a = SimpleNamespace(**{name: normal() for name in cell.gates})
    p = SimpleNamespace(**{name: normal() for name in cell.vectors})
    parts, found = affine_parts(cell), affine(cell)
    fixed = {name: normal() for name in (found.shifted if found else ())}
    moved = {name: normal() for name in parts}
    changes = []
    for _ in range(2):
        state = {name: normal() for name in cell.state} | fixed
        new, _gates = cell.step(a, SimpleNamespace(**state), p)
        other, _gates = cell.step(a, SimpleNamespace(**state | {name: state[name] + moved[name] for name in parts}), p)
        changes.append([other[name] - new[name] for name in parts])
    torch.testing.assert_close(changes[0], changes[1], rtol=FLOAT64, atol=FLOAT64)


def compared(monkeypatch: pytest.MonkeyPatch, cell: Cell, dtype: torch.dtype, **arguments: Any) -> list[list[Tensor]]:
    """Outputs, last states and gradients of the loop, and of all time steps together."""
    torch.manual_seed(0)
    rnn = RNN(cell, D, H, backend="eager", dtype=dtype, bidirectional=True)
    x = torch.randn(T, B, D, dtype=dtype, requires_grad=True)
    s0 = tuple(torch.randn(2, B, H, dtype=dtype, requires_grad=True) for _ in cell.state)
    found = []
    for start in (10**9, 1):
        monkeypatch.setattr(eager, "TOGETHER_FROM", start)
        output, last = rnn(x, s0, **arguments)
        loss = output.square().sum() + sum(value.sin().sum() for value in last)
        inputs = [x, *s0, *rnn.parameters()]  # a part of the initial state that no step reads has no derivative
        found.append([output, *last, *torch.autograd.grad(loss, inputs, materialize_grads=True)])
    return found


@pytest.mark.parametrize("cell", AFFINE, ids=lambda cell: type(cell).__name__)
@pytest.mark.parametrize("resets", [False, True], ids=["", "resets"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_all_steps_together_are_the_loop(monkeypatch: pytest.MonkeyPatch, cell: Cell, lengths: Tensor | None, resets: bool) -> None:
    drawn = torch.rand(B, T, generator=torch.Generator().manual_seed(1)) < 0.1
    arguments = {"lengths": lengths, "resets": drawn if resets else None}
    loop, together = compared(monkeypatch, cell, torch.float64, **arguments)
    torch.testing.assert_close(together, loop, rtol=FLOAT64, atol=FLOAT64)


@pytest.mark.parametrize("cell", AFFINE, ids=lambda cell: type(cell).__name__)
def test_in_single_precision(monkeypatch: pytest.MonkeyPatch, cell: Cell) -> None:
    loop, together = compared(monkeypatch, cell, torch.float32)
    torch.testing.assert_close(together, loop, rtol=FLOAT32, atol=FLOAT32)


def test_the_second_derivative(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eager, "TOGETHER_FROM", 1)
    rnn = RNN(Smoothed(), 2, 2, backend="eager", dtype=torch.float64)
    x = torch.randn(6, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda value: rnn(value)[0], (x,))


def test_a_record_and_a_transformation(monkeypatch: pytest.MonkeyPatch) -> None:
    """`trace` gives the states that the steps read; what torch wraps is computed by the loop."""
    rnn = RNN(Turned(), D, H, backend="eager", dtype=torch.float64)
    x = torch.randn(T, B, D, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    results = []
    for start in (10**9, 1):
        monkeypatch.setattr(eager, "TOGETHER_FROM", start)
        seen = rnn.trace(x)[2]
        mapped = torch.vmap(lambda row: rnn(row)[0], in_dims=1, out_dims=1)(x)
        results.append(([(layer.states, layer.gates) for layer in seen.values()], mapped))
    torch.testing.assert_close(results[0], results[1], rtol=FLOAT64, atol=FLOAT64)


def test_the_loop_where_it_is_faster() -> None:
    """Short rows and many numbers a step; the recognition is not asked before that."""
    few, many = torch.zeros(1, B, H), torch.zeros(1, 64, 64)
    cell = Smoothed()
    assert eager._pays(cell, eager.TOGETHER_FROM, few)
    assert not eager._pays(cell, eager.TOGETHER_FROM - 1, few)
    assert not eager._pays(cell, eager.TOGETHER_FROM, many)
    assert eager._pays(cell, eager.TOGETHER_FROM, many.to("meta"))
    assert not eager._pays(CELLS.build("lstm"), eager.TOGETHER_FROM, few)
