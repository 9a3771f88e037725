"""Equations to operators to C: what can be printed is right, and what cannot is refused with operator and line."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cells.variants import VARIANTS, Variant, normal
from tolerances import FLOAT64
from torch import Tensor

import gatelab.kernels.cpu as backend
from gatelab.cells import Cell
from gatelab.kernels._trace import trace
from gatelab.kernels.cpu import _build
from gatelab.kernels.cpu._printer import OPERATORS
from gatelab.kernels.cpu._source import equations, source
from gatelab.models import RNN
from gatelab.registry import UserError

F = torch.nn.functional


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_every_operator_of_every_cell_has_an_entry_and_no_more_is_kept_than_there_are_pre_activations(variant: Variant) -> None:
    """Recomputing the new state is cheaper than memory, so that the step keeps a value for each pre-activation at most."""
    cell = variant.cell()
    traced = equations(cell)
    nodes = next(iter(traced.inputs.values())).graph.nodes
    assert {node.target for node in nodes if node.op == "call_function"} <= OPERATORS.keys()
    assert len(traced.saved) <= len(cell.gates)


@pytest.mark.parametrize("name", ["rnn", "attention"])
def test_an_operator_without_an_entry_is_refused(name: str) -> None:
    with pytest.raises(Exception, match=r"sigmoid|tanh"):
        trace(Variant(name, {}).cell(), OPERATORS.keys() - {torch.ops.aten.sigmoid.default, torch.ops.aten.tanh.default})


# hardsigmoid is not among them: torch's own derivative has its 1/6 in single precision (3e-8 away in float64), ours has not.
# Functions of one value, each a term of one cell's step, so that few cells have to be compiled.
FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "arithmetic": lambda x, y: (1 - x) / (2 + y * y) + x.reciprocal().clamp(-1, 1) - torch.add(x, y, alpha=0.5) * 0.1,
    "exponentials": lambda x, y: torch.exp(-x.abs()) + torch.expm1(x * 0.1) + torch.log1p(y * y) + torch.log(1 + x.square()),
    "gates": lambda x, y: F.silu(x) + F.softplus(y) + F.logsigmoid(x) + F.relu(x) + F.hardtanh(y, -0.5, 0.7),
    "choices": lambda x, y: torch.where(x > y, x, 0.5 * y) + torch.maximum(x, y) + torch.minimum(x, -y) + x.clamp(min=-0.3),
    "powers": lambda x, y: x**2 + y**3 + torch.sqrt(1 + x * x) + torch.rsqrt(2 + y * y) + (1 + x * x) ** 0.3 + x.sign(),
    "trigonometry": lambda x, y: torch.sin(x) * torch.cos(y) + torch.atan(x) + torch.erf(y),
    "masks": lambda x, y: torch.where((x > 0) & ~(y >= 0.2) | (x <= -1), x, y) + (x > 0) * y + torch.lerp(x, y, 0.3),
}


@dataclass(frozen=True)
class Term(Cell):
    """A state that adds up one function."""

    function: str = "arithmetic"
    gates = {"u": "first", "v": "second"}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"h": torch.tanh(0.3 * FUNCTIONS[self.function](a.u, a.v) + 0.5 * s.h)}, {}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_printed_functions_and_their_derivatives(function: str) -> None:
    found = []
    for name in ("eager", "cpu"):
        rnn = RNN(Term(function), 3, 11, backend=name, dtype=torch.float64)
        with torch.no_grad():
            for number, parameter in enumerate(rnn.parameters()):
                parameter.copy_(0.5 * normal(*parameter.shape, seed=number))
        output = rnn(normal(6, 4, 3))[0]
        found.append([output, *torch.autograd.grad(output.sum(), list(rnn.parameters()))])
    for eager, ours in zip(*found, strict=True):
        torch.testing.assert_close(ours, eager, rtol=FLOAT64, atol=FLOAT64 * 10)


def _own(step: Callable[..., Any]) -> Cell:
    return dataclass(frozen=True)(type("Own", (Cell,), {"gates": {"z": "candidate"}, "step": step, "__module__": __name__}))()


def _refused(step: Callable[..., Any]) -> str:
    rnn = RNN(_own(step), 2, 3, backend="cpu")
    with pytest.raises(UserError, match="Backend 'cpu' cannot run this") as caught:
        rnn(torch.zeros(2, 1, 2))
    rnn.backend = "auto"
    assert rnn(torch.zeros(2, 1, 2))[0].shape == (2, 1, 3)  # by the eager loop
    return str(caught.value)


def test_what_cannot_be_printed_is_refused_with_operator_and_line() -> None:
    def branch(self: Any, a: Any, s: Any, p: Any) -> Any:
        return {"h": a.z if a.z.sum() > 0 else -a.z}, {}

    def reduction(self: Any, a: Any, s: Any, p: Any) -> Any:
        return {"h": a.z - a.z.mean(-1, keepdim=True)}, {}

    def unknown(self: Any, a: Any, s: Any, p: Any) -> Any:
        return {"h": torch.special.bessel_j0(a.z)}, {}

    messages = {unknown: (_refused(unknown), "bessel_j0")}
    for step, operator in ((branch, "branches on a value|aten.sum"), (reduction, "aten.mean")):
        # No RNN takes such a cell, which breaks the contract; the backend must not rely on that.
        with pytest.raises(UserError, match="has no C form") as caught:
            source(_own(step), torch.float32)
        messages[step] = str(caught.value), operator
    for step, (message, operator) in messages.items():
        line = step.__code__.co_firstlineno + 1
        assert any(word in message for word in operator.split("|"))
        assert f"{Path(__file__).name}:{line}" in message


@pytest.mark.parametrize(
    "mode", [torch.inference_mode, lambda: torch.autograd.set_detect_anomaly(True, check_nan=True), lambda: torch.autocast("cpu")]
)
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_the_mode_of_the_caller_does_not_enter(mode: Callable[[], Any]) -> None:
    cell = Variant("gru", {}).cell()
    outside = trace(cell, OPERATORS.keys())
    with mode():
        inside = trace(cell, OPERATORS.keys())
    assert [node.name for node in inside.saved] == [node.name for node in outside.saved]


def test_source_is_deterministic_and_different_where_it_must_be() -> None:
    cell = Variant("peephole", {}).cell()
    assert source(cell, torch.float32) == source(cell, torch.float32)
    texts = {source(variant.cell(), dtype) for variant in VARIANTS for dtype in (torch.float32, torch.float64)}
    assert len(texts) > len({variant.name for variant in VARIANTS})
    assert backend.source is source


# The functions themselves, against float64 of NumPy (float32) or of math in extended precision (float64).

CALLER = """
void apply(const real *x, real *y, long n) {{
  for (long i = 0; i < n; i += LANES) *(V *)(y + i) = {name}(*(const V *)(x + i));
}}
"""
EXACT: dict[str, Callable[[Any], Any]] = {
    "exp_of": np.exp,
    "expm1_of": np.expm1,
    "log_of": np.log,
    "log1p_of": np.log1p,
    "sigmoid_of": lambda x: 1 / (1 + np.exp(-x)),
    "tanh_of": np.tanh,
}


@pytest.mark.parametrize("number", [np.float32, np.float64])
@pytest.mark.parametrize("name", EXACT)
def test_functions_to_the_last_bits(name: str, number: Any) -> None:
    text = (Path(backend.__file__).parent / "vector.c").read_text()
    define = "#define DOUBLE\n" if number is np.float64 else ""
    library = _build.load(define + text + CALLER.format(name=name), "functions")
    edges = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-30, -1e-30, 80.0, -80.0, 300.0, -300.0, 20.0, -20.0, 1e-8]
    draws = np.random.default_rng(0)
    x = np.concatenate([edges, draws.normal(0, 1, 4000), draws.normal(0, 20, 4000), np.exp(draws.uniform(-60, 60, 4080))]).astype(
        number
    )
    block = np.zeros(len(x) + 16, number)
    start = (-block.ctypes.data % 64) // block.itemsize
    aligned, result = block[start : start + len(x)], np.zeros(len(x) + 16, number)
    aligned[:] = x
    skip = (-result.ctypes.data % 64) // result.itemsize
    result = result[skip : skip + len(x)]
    address = ctypes.c_void_p
    library.apply(address(aligned.ctypes.data), address(result.ctypes.data), ctypes.c_long(len(x)))
    with np.errstate(all="ignore"):
        wide = EXACT[name](x.astype(np.longdouble))
        expected = wide.astype(number)
    assert np.array_equal(np.isnan(result), np.isnan(expected))
    assert np.array_equal(result[np.isinf(expected)], expected[np.isinf(expected)])
    normal_range = np.isfinite(expected) & (np.abs(expected) > np.finfo(number).tiny * 4)
    error = np.abs(result[normal_range] - wide[normal_range]) / np.spacing(np.abs(expected[normal_range]))
    assert error.max() < 4, f"{error.max():.2f} units in the last place at {x[normal_range][error.argmax()]}"
