"""From a cell's `step` to a graph of pointwise operators: the step and its adjoint.

Where a step calls a function over units, the graph is cut: the argument is a result of the graph, and the function's result is an
input. A late pre-activation is such an input, too; its product reads a value of the graph.
"""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, fx
from torch.fx.node import map_arg
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

from gatelab.cells import REDUCTIONS, Cell, Cut, by_position, largest, reductions_of, values_of
from gatelab.kernels._equations import Equations, plan
from gatelab.kernels._tracer import Operator, decompositions, traced, traced_with_gradients

_aten = torch.ops.aten


class NotTraceableError(Exception):
    """A `step` cannot become a kernel; the message is one sentence."""


class Printer(Protocol):
    """What a language can express."""

    def __contains__(self, operator: object, /) -> bool:
        """Whether the operator has an entry. Others are decomposed into operators with entries, where torch knows how."""
        ...

    def obstacle(
        self, operator: Operator, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any, dtype: torch.dtype
    ) -> str | None:
        """Why this call of an operator with an entry cannot be printed, as the end of a sentence, or None.

        Args:
            operator: it has an entry.
            args: tensors stand for themselves.
            kwargs: as `args`.
            result: what the call returned.
            dtype: the number format of the cell.
        """
        ...


# Shapes that share no size: a value that is the same for both depends on neither.
_FLAT, _WIDE = (2,), (1, 3, 65537)


def trace(cell: Cell, printer: Printer, dtype: torch.dtype = torch.float64) -> Equations:
    """The equations of a cell as operators.

    Args:
        cell: the equations.
        printer: what can be printed.
        dtype: the number format of all arguments of the step. A conversion to another format shows only in the trace of this one.

    Raises:
        NotTraceableError: a branch on a value or a shape, an operator that is not pointwise, or one that cannot be printed.
    """
    try:
        names, step, reductions = _cut_step(cell, printer)
    except Exception as error:
        raise _failed(error) from error

    results = [*(("s", name) for name in cell.state), *(("v", name) for name in values_of(cell))]
    results += [("q", str(number)) for number in range(len(reductions))]
    inputs = [*names, *(("d" + kind, name) for kind, name in results)]

    def sample(shape: tuple[int, ...]) -> list[Tensor]:
        return [torch.full(shape, 0.5, dtype=dtype) for _ in inputs]

    # The caller's modes must not affect the trace: anomaly detection, for example, branches on values.
    quiet = (torch.inference_mode(False), torch.autograd.set_detect_anomaly(False), torch.autocast("cpu", enabled=False))
    with quiet[0], quiet[1], quiet[2], torch.device("cpu"), torch.no_grad():
        flat, wide = (sample(shape)[: len(names)] for shape in (_FLAT, _WIDE))
        watch = _Watch(cell, printer, dtype, flat)
        try:
            with watch:
                step(*flat)
            with _Listen(wide) as listen:
                step(*wide)
            if watch.calls != listen.calls:
                raise NotTraceableError(_OTHER_SHAPE)
            values = sample(_FLAT)
            graph = traced_with_gradients(step, printer, values[: len(names)], values[len(names) :])
        except NotTraceableError:
            raise
        except Exception as error:  # the step is the user's code: whatever it raises, it may still work in the eager loop
            raise _failed(error) from error
    _forget_shapes(graph)
    graph.eliminate_dead_code()
    _merge(graph)
    unknown = _unknown(graph, printer, dtype)
    if unknown is not None:
        raise NotTraceableError(f"the derivative of its step needs {unknown[0]}, {unknown[1]}.")
    return plan(cell, graph, inputs, results + [("d" + kind, name) for kind, name in names], reductions)


def _failed(error: Exception) -> NotTraceableError:
    reason = str(error).strip().split("\n")[0]
    return NotTraceableError(f"its step fails on sample tensors: {type(error).__name__}: {reason}")


def _cut_step(cell: Cell, printer: Printer) -> tuple[list[tuple[str, str]], Callable[..., tuple[Tensor, ...]], tuple[str, ...]]:
    """`by_position` with the results of reductions as further arguments, and their arguments as further results.

    Returns:
        The names of the arguments, the function, and the names of the reductions.
    """
    names, step = by_position(cell)
    calls = reductions_of(cell)
    if not calls:
        return names, step, ()

    def cut(numbers: Sequence[int], values: Sequence[Tensor]) -> tuple[Tensor, ...]:
        given = values[len(names) :]

        def result(call: int, of: Any, _: Tensor) -> Tensor:
            if call >= len(calls) or REDUCTIONS[of] != calls[call]:
                raise NotTraceableError(_OTHER_SHAPE)
            return given[numbers[call]].detach() if of is largest else given[numbers[call]]

        with Cut(result) as met:
            results = step(*values[: len(names)])
        arguments = {number: x.detach() if of is largest else x for number, (of, x, _) in zip(numbers, met.calls, strict=True)}
        return (*results, *(arguments[number] for number in sorted(arguments)))

    numbers = _alike(calls, len(names), printer, cut)
    reductions = dict(zip(numbers, calls, strict=True))
    every = [*names, *(("r", str(number)) for number in reductions)]
    return every, lambda *values: cut(numbers, values), tuple(reductions.values())


def _alike(calls: Sequence[str], count: int, printer: Printer, cut: Callable[..., tuple[Tensor, ...]]) -> list[int]:
    """A number for each call of a reduction, the same for calls of one function with the same argument.

    Args:
        calls: the names of the functions.
        count: arguments of the step.
        printer: what can be printed.
        cut: the step, with the results of the calls behind its own arguments, and with their arguments as its last results.
    """
    with torch.device("cpu"), torch.no_grad():
        every = list(range(len(calls)))
        values = [torch.full(_FLAT, 0.5) for _ in range(count + len(calls))]
        graph = traced(lambda *values: cut(every, values), printer, *values)
    given = [node for node in graph.nodes if node.op == "placeholder"][count:]
    first: dict[tuple[str, Any], int] = {}
    numbers: list[int] = []
    for call, name in enumerate(calls):
        _merge(graph)
        argument = next(node for node in graph.nodes if node.op == "output").args[0][call - len(calls)]
        same = first.setdefault((name, argument), len(first))
        if same in numbers:
            given[call].replace_all_uses_with(given[numbers.index(same)])
        numbers.append(same)
    return numbers


class _Listen(TorchDispatchMode):
    """Records the calls and their tensors; tensors of the step are numbered in the order of their creation.

    Attributes:
        calls: operators with their arguments; the shape of the samples becomes a word, so that calls of two shapes compare.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise torch imports its compiler, which takes a second, only to exclude `__torch_dispatch__` from it

    def __init__(self, samples: Sequence[Tensor]) -> None:
        super().__init__()
        self.calls: list[tuple[Operator, str]] = []
        self.shape = list(samples[0].shape)
        self.known = {id(value): (number, value) for number, value in enumerate(samples)}  # tensors live as long as their ids

    def __torch_dispatch__(self, func: Operator, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.calls.append((func, repr(tree_map(self._named, (args, kwargs), is_leaf=self._is_shape))))
        for leaf in tree_leaves(result):
            self.known.setdefault(id(leaf), (len(self.known), leaf))
        return result

    def _named(self, value: Any) -> Any:
        if self._is_shape(value):
            return "shape"
        return f"tensor {self.known.get(id(value), ('of another place',))[0]}" if isinstance(value, Tensor) else value

    def _is_shape(self, value: Any) -> bool:
        return isinstance(value, list | tuple) and all(isinstance(size, int) for size in value) and list(value) == self.shape


class _Watch(_Listen):
    """Refuses the first operator that cannot be printed, and knows the line that called it."""

    def __init__(
        self,
        cell: Cell,
        printer: Printer,
        dtype: torch.dtype,
        samples: Sequence[Tensor],
    ) -> None:
        super().__init__(samples)
        self.files = _files(type(cell))
        self.printer, self.dtype = printer, dtype

    def __torch_dispatch__(self, func: Operator, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is _aten._local_scalar_dense.default:
            raise NotTraceableError(f"its step branches on a value{self._line()}; use torch.where.")
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, Tensor) and id(value) not in self.known:
                raise NotTraceableError(f"its step reads a tensor that is not among its arguments{self._line()}; use a number.")
        if func not in self.printer and func not in decompositions():
            raise NotTraceableError(f"its step uses the operator {func}{self._line()}, {_MISSING}.")
        result = super().__torch_dispatch__(func, types, args, kwargs)
        reason = self._obstacle(func, args, kwargs, result)
        if reason is not None:
            raise NotTraceableError(f"its step uses the operator {func}{self._line()}, {reason}.")
        return result

    def _obstacle(self, func: Operator, args: Any, kwargs: Any, result: Any) -> str | None:
        if func in self.printer:
            return self.printer.obstacle(func, args, kwargs, result, self.dtype)
        leaves, spec = tree_flatten((args, kwargs))

        def call(*values: Tensor) -> Any:
            given = iter(values)
            args, kwargs = tree_unflatten([next(given) if isinstance(leaf, Tensor) else leaf for leaf in leaves], spec)
            return func(*args, **kwargs)

        graph = traced(call, self.printer, *(leaf for leaf in leaves if isinstance(leaf, Tensor)))
        unknown = _unknown(graph, self.printer, self.dtype)
        return None if unknown is None else unknown[1]

    def _line(self) -> str:
        frame = sys._getframe()
        while frame.f_back is not None:
            frame = frame.f_back
            if frame.f_code.co_filename in self.files:
                return f" at {frame.f_code.co_filename}:{frame.f_lineno}"
        return ""


def _files(cls: type) -> set[str]:
    """The files that contain the equations of a class, or their placeholders in a notebook or at a prompt."""
    files = set()
    for base in cls.__mro__:
        if not issubclass(base, Cell):
            continue
        code = getattr(inspect.unwrap(vars(base).get("step", base)), "__code__", None)
        module = sys.modules.get(base.__module__)
        files |= {getattr(code, "co_filename", None), getattr(module, "__file__", None)}
    return files - {None}


_MISSING = "which is not pointwise or cannot be printed"
_OTHER_SHAPE = "its step computes something else for tensors of another shape; it may use only their values."


def _forget_shapes(graph: fx.Graph) -> None:
    """Makes constants that take only their shape from a value independent of it."""
    constants = {_aten.zeros_like.default: 0.0, _aten.ones_like.default: 1.0, _aten._efficientzerotensor.default: 0.0}
    for node in graph.nodes:
        if node.target in constants or node.target is _aten.full_like.default:
            value = constants.get(node.target, node.args[-1])
            with graph.inserting_before(node):
                constant = graph.call_function(_aten.full.default, ([], value))
            constant.meta = node.meta
            node.replace_all_uses_with(constant)


def _merge(graph: fx.Graph) -> None:
    """Computes once what `before` and `step` both compute. A false and a zero are written alike: their formats tell them apart."""
    found: dict[tuple[Any, str, torch.dtype], fx.Node] = {}
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        first = found.setdefault((node.target, repr((node.args, node.kwargs)), node.meta["val"].dtype), node)
        if first is not node:
            node.replace_all_uses_with(first)
            graph.erase_node(node)


def _unknown(graph: fx.Graph, printer: Printer, dtype: torch.dtype) -> tuple[str, str] | None:
    """The first node of a graph that cannot be printed, and why."""
    for node in graph.nodes:
        if node.op == "get_attr":
            return "a tensor that is not an argument of the step", "which cannot be printed"
        if node.op != "call_function":
            continue
        reason: str | None = _MISSING
        if node.target in printer:
            args, kwargs = map_arg((node.args, node.kwargs), lambda source: source.meta["val"])
            reason = printer.obstacle(node.target, args, kwargs, node.meta["val"], dtype)
        if reason is not None:
            return f"the operator {node.target}", reason
    return None
