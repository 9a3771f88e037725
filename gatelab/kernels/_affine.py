"""Cells whose step is affine in the state: recognised from the trace, and computed for all time steps together."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx
from torch.fx.node import map_arg

from gatelab.cells import Cell
from gatelab.kernels._equations import Equations
from gatelab.kernels._operators import OPERATORS
from gatelab.kernels._trace import NotTraceableError, trace

_aten = torch.ops.aten

# Operators that keep a value affine in the state; `detach` does not, because it has another derivative.
_SAME = {getattr(_aten, name).default for name in ("neg", "clone", "alias")}
_SUMS = {getattr(getattr(_aten, name), kind) for name in ("add", "sub", "rsub") for kind in ("Tensor", "Scalar")}
_PRODUCTS = {_aten.mul.Tensor, _aten.mul.Scalar}
_QUOTIENTS = {_aten.div.Tensor, _aten.div.Scalar}


class Affine(NamedTuple):
    """How s(t) = A(t) s(t-1) + b(t) is computed.

    Attributes:
        shifted: the parts that follow from the input and from earlier ones of them, as what is carried of an earlier input does.
        parts: the other parts of the state that are carried.
        equations: of the cell.
        nodes: what computes the new parts, in order.
        varying: those of them that depend on the state.
    """

    shifted: tuple[str, ...]
    parts: tuple[str, ...]
    equations: Equations
    nodes: tuple[fx.Node, ...]
    varying: frozenset[fx.Node]


@functools.lru_cache(maxsize=1024)
def affine(cell: Cell) -> Affine | None:
    """The linear recurrence that a cell carries, if it can be computed for all time steps together; else None.

    That is so where no pre-activation has a part R h, nothing is read from earlier states or from other units, and every part of
    the state that a step reads follows from those before the step by s(t) = A(t) s(t-1) + b(t), with A and b given by the input
    alone, or by parts that are (`Affine.shifted`). Parts that no step reads, such as h = o . tanh(c), may be any function.
    """
    if cell.recurrent_gates or cell.late or cell.given or cell.memory is not None:
        return None
    try:
        equations = trace(cell, OPERATORS)
    except NotTraceableError:
        return None
    if equations.reductions:
        return None
    results = {name: node for (kind, name), node in equations.outputs.items() if kind == "s"}
    given = {name: node for (kind, name), node in equations.inputs.items() if kind == "s"}
    inputs = {node for (kind, _), node in equations.inputs.items() if kind != "ds"}
    used = {source for node in equations.needed(results.values(), inputs) for source in node.all_input_nodes}
    parts = tuple(name for name in cell.state if given[name] in used or results[name] in given.values())
    shifted = _shifted(equations, parts, inputs)
    parts = tuple(name for name in parts if name not in shifted)
    nodes = equations.needed([results[name] for name in parts], inputs)
    varying = {given[name] for name in parts}
    for node in nodes:
        moving = [argument for argument in node.args if argument in varying]
        if moving and not _is_linear(node, moving, varying):
            return None
        varying |= {node} if moving else set()
    return Affine(shifted, parts, equations, tuple(nodes), frozenset(varying)) if parts or shifted else None


def _shifted(equations: Equations, parts: Sequence[str], inputs: set[fx.Node]) -> tuple[str, ...]:
    """The parts that depend on no other than themselves, in the order in which they can be computed."""
    found: list[str] = []
    rest = list(parts)
    while True:
        unknown = {equations.inputs["s", name] for name in rest}
        ready = []
        for name in rest:
            result = equations.outputs["s", name]
            sources = {source for node in equations.needed([result], inputs) for source in node.all_input_nodes}
            if not unknown & {result, *sources}:
                ready.append(name)
        if not ready:
            return tuple(found)
        found += ready
        rest = [name for name in rest if name not in ready]


def _is_linear(node: fx.Node, moving: Sequence[Any], varying: set[fx.Node]) -> bool:
    """Whether a node is affine in those of its arguments that depend on the state."""
    if node.target in _PRODUCTS:
        return len(moving) == 1
    if node.target in _QUOTIENTS:
        return node.args[1] not in varying
    if node.target is _aten.where.self:
        return node.args[0] not in varying
    return node.target in _SUMS or node.target in _SAME


def coefficients(
    of: Affine, a: Mapping[str, Tensor], p: Mapping[str, Tensor], shifted: Mapping[str, Tensor]
) -> tuple[list[list[Tensor]], list[Tensor]]:
    """A and b of s(t) = A(t) s(t-1) + b(t) at all time steps.

    Args:
        of: the recurrence.
        a: pre-activations, (N, T, B, H) each.
        p: vectors, broadcastable against them.
        shifted: those of `of.shifted` before each step.

    Returns:
        A[j][k]: derivative of part j by part k before the step, and b[j]: part j after a step from zeros, (N, T, B, H) each.
    """
    zero = torch.zeros_like(next(iter(a.values())))
    one = torch.ones_like(zero)
    offsets: dict[Any, Any] = {}
    for (kind, name), node in of.equations.inputs.items():
        if kind != "ds":
            offsets[node] = {"a": a, "p": p, "s": shifted}[kind].get(name, zero)
    slopes: dict[str, dict[Any, Any]] = {part: {of.equations.inputs["s", part]: one} for part in of.parts}
    for node in of.nodes:
        offsets[node] = node.target(*map_arg(node.args, offsets.get), **map_arg(node.kwargs, offsets.get))  # type: ignore[operator]
        if node in of.varying:
            for found in slopes.values():
                if any(argument in found for argument in node.args):
                    arguments = [_linear_argument(node, argument, found, offsets, of.varying, zero) for argument in node.args]
                    found[node] = node.target(*arguments, **node.kwargs)  # type: ignore[operator]
    results = [of.equations.outputs["s", part] for part in of.parts]
    A = [[slopes[part].get(result, zero).expand_as(zero) for part in of.parts] for result in results]
    return A, [offsets[result].expand_as(zero) for result in results]


def _linear_argument(node: fx.Node, argument: Any, slopes: Any, offsets: Any, varying: frozenset[fx.Node], zero: Tensor) -> Any:
    """An argument of a node in its linear part: terms that do not depend on the state are 0 there, factors stay as they are."""
    if argument in varying:
        return slopes.get(argument, zero)
    if node.target in _SUMS or (node.target is _aten.where.self and argument is not node.args[0]):
        return zero if isinstance(argument, fx.Node) else 0
    return offsets[argument] if isinstance(argument, fx.Node) else argument


def recur(A: Sequence[Sequence[Tensor]], b: Sequence[Tensor], s0: Sequence[Tensor]) -> list[Tensor]:
    """The states of a linear recurrence, s(t) = A(t) s(t-1) + b(t).

    The T steps are cut into K pieces of C. Each piece is first run from zeros, all pieces together, and gives its product of A;
    then the pieces are joined one after the other; then each runs again from its true start: 2C + K steps in place of T, and
    2 T in all. No quotient and no logarithm is taken, so that it is as exact as the loop.

    Args:
        A: m x m tensors (N, T, B, H).
        b: m tensors (N, T, B, H).
        s0: m tensors (N, B, H), the state before the first step.

    Returns:
        m tensors (N, T, B, H), the states after each step.
    """
    m, T = len(b), b[0].shape[1]
    C = max(1, round(math.sqrt(T / 2)))
    K = -(-T // C)

    def cut(value: Tensor) -> tuple[Tensor, ...]:
        """(N, K, B, H) for each position in a piece; the steps after the last are 0 and are not read."""
        N, _, B, H = value.shape
        padded = torch.nn.functional.pad(value, (0, 0, 0, 0, 0, C * K - T))
        return padded.view(N, K, C, B, H).unbind(2)

    As = [[cut(value) for value in row] for row in A]
    bs = [cut(value) for value in b]

    def times(c: int, s: Sequence[Tensor]) -> list[Tensor]:
        return [functools.reduce(torch.add, [As[j][k][c] * s[k] for k in range(m)]) for j in range(m)]

    total = [[As[j][k][0] for j in range(m)] for k in range(m)]  # by column, the product of A up to here
    end = [part[0] for part in bs]
    for c in range(1, C):
        total = [times(c, column) for column in total]
        end = [product + bs[j][c] for j, product in enumerate(times(c, end))]
    starts = [list(s0)]
    for k in range(K - 1):
        before = starts[-1]
        starts.append(
            [functools.reduce(torch.add, [total[i][j][:, k] * before[i] for i in range(m)]) + end[j][:, k] for j in range(m)]
        )
    s = [torch.stack([start[j] for start in starts], 1) for j in range(m)]
    found: list[list[Tensor]] = [[] for _ in range(m)]
    for c in range(C):
        s = [product + bs[j][c] for j, product in enumerate(times(c, s))]
        for j in range(m):
            found[j].append(s[j])
    return [torch.stack(steps, 2).flatten(1, 2)[:, :T] for steps in found]


def read_states(
    of: Affine,
    a: Mapping[str, Tensor],
    p: Mapping[str, Tensor],
    s0: Mapping[str, Tensor],
    restarted: Tensor | None,
    again: Mapping[str, Tensor],
) -> dict[str, Tensor]:
    """The parts of the state that the time steps read, (N, T, B, H) each; those that no step reads are 0.

    Args:
        of: the recurrence.
        a: pre-activations, (N, T, B, H) each.
        p: vectors, broadcastable against them.
        s0: the whole state before the first step, (N, B, H) by name.
        restarted: (T, B), the steps that start from `again`; or None.
        again: (N, B, H) by name.
    """
    mask = None if restarted is None else restarted[..., None]

    def before(name: str, after: Tensor) -> Tensor:
        """A part before each step, from the part after it."""
        moved = torch.cat([s0[name][:, None], after[:, :-1]], 1)
        return moved if mask is None else torch.where(mask, again[name][:, None], moved)

    read = {name: torch.zeros_like(next(iter(a.values()))) for name in s0}
    read |= _read_shifted(of, a, p, before)
    if not of.parts:
        return read
    A, b = coefficients(of, a, p, {name: read[name] for name in of.shifted})
    starts = [s0[name] for name in of.parts]
    if mask is not None:  # there the step does not see the state before it, but a constant
        fixed = [
            [torch.where(mask, value * again[name][:, None], 0) for name, value in zip(of.parts, row, strict=True)] for row in A
        ]
        b = [functools.reduce(torch.add, row, offset) for row, offset in zip(fixed, b, strict=True)]
        A = [[torch.where(mask, 0, value) for value in row] for row in A]
    return read | {name: before(name, after) for name, after in zip(of.parts, recur(A, b, starts), strict=True)}


def _read_shifted(of: Affine, a: Any, p: Any, before: Callable[[str, Tensor], Tensor]) -> dict[str, Tensor]:
    """What `of.shifted` are before each step, (N, T, B, H) each."""
    read: dict[str, Tensor] = {}
    values: dict[Any, Any] = {
        node: (a if kind == "a" else p)[name] for (kind, name), node in of.equations.inputs.items() if kind in "ap"
    }
    for name in of.shifted:
        result = of.equations.outputs["s", name]
        for node in of.equations.needed([result], values.keys()):
            values[node] = node.target(*map_arg(node.args, values.get), **map_arg(node.kwargs, values.get))  # type: ignore[operator]
        after = values[result].expand_as(next(iter(a.values())))
        read[name] = values[of.equations.inputs["s", name]] = before(name, after)
    return read
