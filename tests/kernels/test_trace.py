"""Equations to operators to C: what can be printed is right, and what cannot is refused with operator and line."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from cells.variants import KINDS, Variant, each_variant, normal
from tolerances import FLOAT32, FLOAT64
from torch import Tensor

import gatelab.kernels.cpu as backend
from gatelab.cells import Cell
from gatelab.errors import UserError
from gatelab.kernels._operators import OPERATORS, Table
from gatelab.kernels._trace import NotTraceableError, trace
from gatelab.kernels.cpu._source import equations, source
from gatelab.models import RNN

F = torch.nn.functional


@pytest.mark.slow
@each_variant
def test_every_operator_of_every_cell_has_an_entry_and_no_more_is_kept_than_there_are_pre_activations(variant: Variant) -> None:
    """Recomputing the new state is cheaper than memory, so that the step keeps a value for each pre-activation at most.

    With functions over units it keeps twice as many, since several passes would recompute them.
    """
    cell = variant.cell()
    traced = equations(cell, torch.float32)
    nodes = next(iter(traced.inputs.values())).graph.nodes
    assert {node.target for node in nodes if node.op == "call_function"} <= OPERATORS.keys()
    assert len(traced.saved) <= len(cell.gates) * (2 if traced.reductions else 1)


@pytest.mark.parametrize("name", ["rnn", "attention"])
def test_an_operator_without_an_entry_is_refused(name: str) -> None:
    missing = (torch.ops.aten.sigmoid.default, torch.ops.aten.tanh.default)
    with pytest.raises(NotTraceableError, match=r"sigmoid|tanh"):
        trace(Variant(name, {}).cell(), Table({key: value for key, value in OPERATORS.items() if key not in missing}))


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
        return {"h": torch.lgamma(a.z)}, {}

    messages = {unknown: (_refused(unknown), "aten.lgamma")}
    for step, operator in ((branch, "branches on a value|aten.sum"), (reduction, "aten.mean")):
        # No RNN takes such a cell, which breaks the contract; the backend must not rely on that.
        with pytest.raises(UserError, match="has no C form") as caught:
            source(_own(step), torch.float32)
        messages[step] = str(caught.value), operator
    for step, (message, operator) in messages.items():
        line = step.__code__.co_firstlineno + 1
        assert any(word in message for word in operator.split("|"))
        assert f"{Path(__file__).name}:{line}" in message


CELL = """
@dataclass(frozen=True)
class Own(Cell):
    gates = {"z": "candidate"}

    def step(self, a, s, p):
        return {"h": EQUATION}, {}
"""


def _defined(equation: str, file: str = "<stdin>", module: str = "__main__") -> Cell:
    """A cell as a prompt or a notebook makes it: no file, and in a notebook no name by which the module could be found."""
    namespace: dict[str, Any] = {"__name__": module, "Cell": Cell, "dataclass": dataclass, "torch": torch}
    exec(compile(CELL.replace("EQUATION", equation), file, "exec"), namespace)
    return namespace["Own"]()


@pytest.mark.parametrize(
    ("file", "module"), [("<stdin>", "__main__"), ("<string>", "__main__"), ("<ipython-input-3-0a1b>", "not among the modules")]
)
def test_a_cell_without_a_file_is_compiled_and_its_lines_are_named(file: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sys.modules["__main__"], "__file__", raising=False)
    x = normal(4, 2, 3).float()
    cell = _defined("torch.tanh(a.z) + 0.5 * s.h", file, module)
    results = []
    for name in ("eager", "cpu"):
        torch.manual_seed(0)
        results.append(RNN(cell, 3, 5, backend=name)(x)[0])
    torch.testing.assert_close(*results, rtol=0, atol=FLOAT32)
    with pytest.raises(UserError, match=f"aten.lgamma.default at {re.escape(file)}:7, which"):
        RNN(_defined("torch.lgamma(a.z)", file, module), 3, 5, backend="cpu")(x)


def test_a_cell_defined_again_is_another_cell() -> None:
    """In a notebook the name, the options and the text of both are the same."""
    first, second = _defined("torch.tanh(a.z)"), _defined("torch.sigmoid(a.z)")
    assert repr(first) == repr(second)
    x = normal(4, 2, 3).float()
    for cell, function in ((first, torch.tanh), (second, torch.sigmoid)):
        rnn = RNN(cell, 3, 5, backend="cpu")
        layer: Any = rnn.layers["0"]
        torch.nn.init.zeros_(layer.R)
        torch.testing.assert_close(rnn(x)[0], function(x @ layer.W.mT + layer.b), rtol=0, atol=FLOAT32)


def test_a_captured_graph_keeps_its_cell_when_another_of_the_same_text_is_defined() -> None:
    x = normal(4, 2, 3).float()
    rnns = [RNN(_defined(equation), 3, 5, backend="cpu") for equation in ("torch.tanh(a.z)", "torch.sigmoid(a.z)")]
    graphs = [torch.compile(rnn, backend="eager", fullgraph=True) for rnn in rnns]
    for _ in range(2):
        for rnn, graph in zip(rnns, graphs, strict=True):
            assert torch.equal(graph(x)[0], rnn(x)[0])


@pytest.mark.parametrize(
    "mode", [torch.inference_mode, lambda: torch.autograd.set_detect_anomaly(True, check_nan=True), lambda: torch.autocast("cpu")]
)
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
def test_the_mode_of_the_caller_does_not_enter(mode: Callable[[], Any]) -> None:
    cell = Variant("gru", {}).cell()
    outside = trace(cell, OPERATORS)
    with mode():
        inside = trace(cell, OPERATORS)
    assert [node.name for node in inside.saved] == [node.name for node in outside.saved]


def test_source_is_deterministic_and_different_where_it_must_be() -> None:
    cell = Variant("peephole", {}).cell()
    assert source(cell, torch.float32) == source(cell, torch.float32)
    texts = {source(variant.cell(), dtype) for variant in KINDS for dtype in (torch.float32, torch.float64)}
    assert len(texts) > len({variant.name for variant in KINDS})
    assert backend.source is source
