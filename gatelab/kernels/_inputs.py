"""The tensors of a call in the order that autograd gets them, for all backends with their own derivatives."""

import functools
import itertools
import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from gatelab.cells import Cell
from gatelab.kernels import eager
from gatelab.kernels._gate import constant, readable
from gatelab.kernels._scan import Flow, Weights

_log = logging.getLogger(__name__)


class Asked(Protocol):
    """The settings of a call, whichever backend serves it; as in `cpu._function.LoopCall`."""

    @property
    def cell(self) -> Cell: ...
    @property
    def lengths(self) -> Tensor | None: ...
    @property
    def resets(self) -> Tensor | None: ...
    @property
    def record(self) -> bool: ...
    @property
    def flow(self) -> Flow | None: ...


@constant
def read_weights(cell: Cell) -> tuple[str, ...]:
    """Names of the weights of the read, in the order that autograd gets them."""
    return () if cell.memory is None else tuple(cell.memory.parameters(1, 1))


class Inputs(NamedTuple):
    """The tensors of a call, in the order that autograd gets them."""

    x: Tensor
    W: Tensor | None
    R: Tensor | None
    b: Tensor | None
    p: tuple[Tensor, ...]
    late: tuple[Tensor, ...]
    memory: tuple[Tensor, ...]
    given: tuple[Tensor, ...]
    s0: tuple[Tensor, ...]
    restart: tuple[Tensor | None, ...]  # one for each part of the state; None without resets

    @classmethod
    def of(cls, cell: Cell, weights: Weights, x: Tensor, s0: tuple[Tensor, ...], restart: tuple[Tensor, ...] | None) -> "Inputs":
        p = tuple([weights.p[name] for name in cell.vectors])  # a list, because a generator would take longer
        late = tuple([weights.late[name] for name in cell.late])
        memory = tuple([weights.memory[name] for name in read_weights(cell)])
        given = tuple([weights.given[name] for name in cell.given])
        return cls(x, weights.W, weights.R, weights.b, p, late, memory, given, s0, restart or (None,) * len(s0))

    @classmethod
    def back(cls, cell: Cell, tensors: tuple[Any, ...]) -> "Inputs":
        x, W, R, b, *others = tensors
        parts, rest = len(cell.state), iter(others)
        counts = (len(cell.vectors), len(cell.late), len(read_weights(cell)), len(cell.given), parts, parts)
        return cls(x, W, R, b, *(tuple(itertools.islice(rest, count)) for count in counts))

    def laid_out(self) -> "Inputs":
        """The same numbers in the layout that the loop reads."""
        for value in self.flat():
            if value is not None and (not value.is_contiguous() or value.is_neg() or value._is_zerotensor()):
                break
        else:
            return self  # nearly always the case, and a call of one step has no time for more
        W, R, b = (None if value is None else dense(value) for value in (self.W, self.R, self.b))
        p, late, memory, given, s0 = (tuple(map(dense, part)) for part in (self.p, self.late, self.memory, self.given, self.s0))
        restart = tuple(None if part is None else dense(part) for part in self.restart)
        return Inputs(rows(self.x), W, R, b, p, late, memory, given, s0, restart)

    def weights(self, cell: Cell) -> Weights:
        """All tensors but input and state."""
        p, memory = zip(cell.vectors, self.p, strict=True), zip(read_weights(cell), self.memory, strict=True)
        late, given = zip(cell.late, self.late, strict=True), zip(cell.given, self.given, strict=True)
        return Weights(self.W, self.R, self.b, dict(p), dict(memory), dict(late), dict(given))

    @property
    def again(self) -> tuple[Tensor, ...] | None:
        """The state of rows that start again, or None without resets."""
        return None if self.restart[0] is None else self.restart  # type: ignore[return-value]

    def flat(self) -> tuple[Tensor | None, ...]:
        return (self.x, self.W, self.R, self.b, *self.p, *self.late, *self.memory, *self.given, *self.s0, *self.restart)

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        """N, T, B, D, H."""
        return (*self.x.shape, self.s0[0].shape[-1])  # type: ignore[return-value]


def dense(value: Tensor) -> Tensor:
    """With contiguous memory and no lazy operation."""
    return readable(value).contiguous()


def rows(value: Tensor) -> Tensor:
    """With the features of a row contiguous, which is all that the loop requires of (N, T, B, F)."""
    value = readable(value)
    return value if value.stride(-1) == 1 or value.shape[-1] == 1 else value.contiguous()


def eagerly(
    backend: str, call: Asked, tensors: tuple[Tensor | None, ...], wanted: Sequence[bool], cotangents: Sequence[Tensor | None]
) -> Iterator[Tensor | None]:
    """The gradients from the eager loop: with a graph (create_graph=True), or from cotangents without memory of their own."""
    _log_once(backend)
    again = torch.is_grad_enabled()
    with torch.enable_grad():  # the same tensor may be given as h and as c: each gets its own gradient
        aliases = [None if value is None else value.view_as(value) for value in tensors]
    inputs = Inputs.back(call.cell, tuple(aliases))
    with torch.enable_grad():
        weights, resets = inputs.weights(call.cell), None if call.resets is None else call.resets.mT
        options = {"flow": call.flow, "resets": resets, "restart": inputs.again}
        result = eager.scan(call.cell, weights, inputs.x, inputs.s0, call.lengths, call.record, **options)
    reached = [result.output, *result.state]
    if result.record is not None:
        reached += [torch.stack([*part.values()]) for part in result.record]
    pairs = [(value, of) for value, of in zip(reached, cotangents, strict=True) if of is not None and value.requires_grad]
    sources = [value for value, wish in zip(aliases, wanted, strict=True) if wish and value is not None]
    values = [value for value, _ in pairs]
    found = iter(torch.autograd.grad(values, sources, [of for _, of in pairs], create_graph=again, allow_unused=True))
    return (next(found) if wish and value is not None else None for value, wish in zip(aliases, wanted, strict=True))


@functools.cache
def _log_once(backend: str) -> None:
    _log.warning("Backend '%s' has no second or batched derivatives; the eager loop computes them.", backend)


def graph_is_kept() -> bool:
    """Whether autograd may run this node again (retain_graph=True); True if torch does not tell."""
    ask = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)  # type: ignore[attr-defined]
    return True if ask is None else ask()
