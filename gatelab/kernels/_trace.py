"""From a cell's `step` to graphs of pointwise operators: the step itself, its adjoint, and what the one must keep for the other."""

import functools
import sys
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch._decomp import core_aten_decompositions
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from gatelab.cells import Cell, Parts

_aten = torch.ops.aten

Operator = Any  # torch._ops.OpOverload, which has no public name

# Worth a register's travel to memory and back: recomputing one costs more than reading what it was.
COSTLY = frozenset(
    getattr(_aten, name).default
    for name in ("sigmoid", "tanh", "exp", "expm1", "log", "log1p", "sin", "cos", "erf", "atan", "sqrt", "rsqrt")
)


class NotTraceableError(Exception):
    """A `step` cannot become a kernel; the message is one sentence."""


@dataclass(frozen=True)
class Equations:
    """One step and its adjoint, in one graph.

    Attributes:
        inputs: nodes of pre-activations, state, vectors and cotangents of the new state: ("a", "i"), ("s", "c"), ("p", "p_i"),
            ("ds", "c").
        outputs: nodes of the new state and of the cotangents: ("s", "c"), ("da", "i"), ("ds", "c"), ("dp", "p_i").
        saved: what the step keeps for its adjoint, besides the state before it.
        reads: the parts of the state before the step that the adjoint reads.
    """

    inputs: Mapping[tuple[str, str], fx.Node]
    outputs: Mapping[tuple[str, str], fx.Node]
    saved: tuple[fx.Node, ...]
    reads: frozenset[str]

    def needed(self, results: Iterable[fx.Node], known: Collection[fx.Node]) -> list[fx.Node]:
        """The nodes to compute, in order, for these results from what is known."""
        wanted: set[fx.Node] = set()
        pending = [node for node in results if node not in known]
        while pending:
            node = pending.pop()
            if node not in wanted:
                wanted.add(node)
                pending += [source for source in node.all_input_nodes if source not in known]
        return [node for node in next(iter(self.inputs.values())).graph.nodes if node in wanted]


def trace(cell: Cell, operators: Collection[Operator]) -> Equations:
    """The equations of a cell as operators.

    Args:
        cell: the equations.
        operators: those that can be printed; others are decomposed into them where torch knows how.

    Raises:
        NotTraceableError: a branch, an operator that is not pointwise, or one that has no entry.
    """
    decompositions: dict[Any, Any] = {key: value for key, value in _decompositions().items() if key not in operators}
    groups = {"a": tuple(cell.gates), "s": cell.state, "p": cell.vectors}
    names = [(kind, name) for kind, group in groups.items() for name in group]

    def step(*values: Tensor) -> tuple[Tensor, ...]:
        parts: dict[str, dict[str, Tensor]] = {"a": {}, "s": {}, "p": {}}
        for (kind, name), value in zip(names, values, strict=True):
            parts[kind][name] = value
        state, _ = cell.step(*(Parts(**part) for part in parts.values()))
        return tuple(state[name] for name in cell.state)

    def joint(*values: Tensor) -> tuple[Tensor, ...]:
        pair: Any = torch.func.vjp(step, *values[: len(names)])
        state, pullback = pair
        return (*state, *pullback(tuple(values[len(names) :])))

    inputs = [*names, *(("ds", name) for name in cell.state)]
    sample = [torch.full((2,), 0.5, dtype=torch.float64) for _ in inputs]
    # Whatever mode the caller is in is not for the trace: anomaly detection, for one, branches on values.
    quiet = (torch.inference_mode(False), torch.autograd.set_detect_anomaly(False), torch.autocast("cpu", enabled=False))
    with quiet[0], quiet[1], quiet[2], torch.no_grad():
        with _Watch(cell, operators, decompositions):
            step(*sample[: len(names)])
        graph = make_fx(torch.func.functionalize(joint), decompositions)(*sample).graph
    _forget_shapes(graph)
    graph.eliminate_dead_code()
    unknown = _unknown(graph, operators)
    if unknown is not None:
        raise NotTraceableError(f"the derivative of its step needs the operator {unknown}, which cannot be printed.")
    return _cut(graph, inputs, [("s", name) for name in cell.state] + [("d" + kind, name) for kind, name in names])


@functools.cache
def _decompositions() -> dict[Operator, Callable[..., Any]]:
    """Torch's, once: it looks through all of its operators at every call, which took half of the time of a trace."""
    return dict(core_aten_decompositions().items())


class _Watch(TorchDispatchMode):
    """Refuses the first operator that cannot be printed, and knows the line that called it."""

    def __init__(self, cell: Cell, operators: Collection[Operator], decompositions: Mapping[Operator, Callable[..., Any]]) -> None:
        super().__init__()
        self.files = {sys.modules[cls.__module__].__file__ for cls in type(cell).__mro__ if issubclass(cls, Cell)}
        self.operators, self.decompositions = operators, decompositions

    def __torch_dispatch__(self, func: Operator, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is _aten._local_scalar_dense.default:
            raise NotTraceableError(f"its step branches on a value{self._line()}; use torch.where.")
        if func not in self.operators and self._unprintable(func, args, kwargs):
            raise NotTraceableError(
                f"its step uses the operator {func}{self._line()}, which is not pointwise or cannot be printed."
            )
        return func(*args, **kwargs)

    def _unprintable(self, func: Operator, args: Any, kwargs: Any) -> bool:
        if func not in self.decompositions:
            return True
        tensors = [value for value in args if isinstance(value, Tensor)]

        def call(*values: Tensor) -> Any:
            given = iter(values)
            return func(*(next(given) if isinstance(value, Tensor) else value for value in args), **kwargs)

        return _unknown(make_fx(call, self.decompositions)(*tensors).graph, self.operators) is not None

    def _line(self) -> str:
        frame = sys._getframe()
        while frame.f_back is not None:
            frame = frame.f_back
            if frame.f_code.co_filename in self.files:
                return f" at {frame.f_code.co_filename}:{frame.f_lineno}"
        return ""


def _forget_shapes(graph: fx.Graph) -> None:
    """Constants that take only their shape from a value do not depend on it."""
    constants = {_aten.zeros_like.default: 0.0, _aten.ones_like.default: 1.0}
    for node in graph.nodes:
        if node.target in constants or node.target is _aten.full_like.default:
            value = constants.get(node.target, node.args[-1])
            with graph.inserting_before(node):
                constant = graph.call_function(_aten.full.default, ([], value))
            constant.meta = node.meta
            node.replace_all_uses_with(constant)


def _unknown(graph: fx.Graph, operators: Collection[Operator]) -> Operator | None:
    for node in graph.nodes:
        if node.op == "get_attr" or (node.op == "call_function" and node.target not in operators):
            return node.target
    return None


def _cut(graph: fx.Graph, inputs: list[tuple[str, str]], outputs: list[tuple[str, str]]) -> Equations:
    """Chooses what the step keeps: as few values as there are pre-activations to know, but none that is costly to recompute.

    The adjoint uses some values of the step. Going back from them, the walk ends at costly ones and at inputs: those are kept. A
    costly one that follows from what is kept anyway (tanh of the new cell state) is recomputed instead: that is faster than memory.
    """
    placeholders = [node for node in graph.nodes if node.op == "placeholder"]
    given = dict(zip(inputs, placeholders, strict=True))
    results = dict(zip(outputs, next(node for node in graph.nodes if node.op == "output").args[0], strict=True))
    free = {node for (kind, _), node in given.items() if kind in ("s", "p")}  # at hand in the adjoint in any case
    backward = {node for (kind, _), node in given.items() if kind == "ds"}
    for node in graph.nodes:
        if any(source in backward for source in node.all_input_nodes):
            backward.add(node)
    cotangents = [node for (kind, _), node in results.items() if kind != "s"]
    used = {source for node in backward for source in node.all_input_nodes if source not in backward}
    used |= {node for node in cotangents if node not in backward}
    kept = _frontier(used, free, lambda node: node.target in COSTLY)
    for node in reversed(list(graph.nodes)):
        if node in kept and node.op != "placeholder":
            others = kept - {node}
            if _frontier({node}, free, lambda source, others=others: source in others, top=False) <= others:
                kept = others
    order = [node for node in graph.nodes if node in kept]
    equations = Equations(given, results, tuple(order), frozenset())
    adjoint = equations.needed(cotangents, {*placeholders, *order})
    touched = {source for node in adjoint for source in node.all_input_nodes} | set(cotangents)
    reads = frozenset(name for (kind, name), node in given.items() if kind == "s" and node in touched)
    return Equations(given, results, tuple(order), reads)


def _frontier(
    nodes: Iterable[fx.Node], free: Collection[fx.Node], stop: Callable[[fx.Node], bool], top: bool = True
) -> set[fx.Node]:
    """Where walks back from these nodes end: at what stops them, or at inputs that are not free. `top`: the nodes may stop, too."""
    found: set[fx.Node] = set()
    seen: set[fx.Node] = set()
    pending = list(nodes)
    starts = set() if top else set(pending)
    while pending:
        node = pending.pop()
        if node in seen or node in free:
            continue
        seen.add(node)
        if node.op == "placeholder" or (node not in starts and stop(node)):
            found.add(node)
        else:
            pending += node.all_input_nodes
    return found
