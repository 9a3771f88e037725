"""The compiled loop as a function that autograd knows."""

import functools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from gatelab.cells import Cell
from gatelab.kernels import eager
from gatelab.kernels._gate import readable, special
from gatelab.kernels._scan import Flow, Weights
from gatelab.kernels.cpu._call import POOL, Lease, Library, Plan
from gatelab.registry import UserError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """What a call computes with, besides tensors that have gradients.

    Attributes:
        library: the compiled loop.
        cell: the equations.
        plan: rows to blocks, blocks to threads.
        segment: steps between two states that are kept; T keeps everything.
        lengths: valid steps of each row (B,), or None.
        record: whether to put out what `step` was given.
        save: whether there will be a backward pass.
        flow: where the backward pass leaves the cotangents of the states, or None.
    """

    library: Library
    cell: Cell
    plan: Plan
    segment: int
    lengths: Tensor | None
    record: bool
    save: bool
    flow: Flow | None


def read_weights(cell: Cell) -> tuple[str, ...]:
    """Names of the weights of the read, in the order in which autograd is given them."""
    return () if cell.memory is None else tuple(cell.memory.parameters(1, 1))


@dataclass
class Inputs:
    """The tensors of a call, in the order in which autograd is given them."""

    x: Tensor
    W: Tensor | None
    R: Tensor | None
    b: Tensor | None
    p: tuple[Tensor, ...]
    memory: tuple[Tensor, ...]
    s0: tuple[Tensor, ...]

    @classmethod
    def of(cls, cell: Cell, weights: Weights, x: Tensor, s0: tuple[Tensor, ...]) -> "Inputs":
        W, R, b = (None if value is None else _dense(value) for value in (weights.W, weights.R, weights.b))
        p = tuple(_dense(weights.p[name]) for name in cell.vectors)
        memory = tuple(_dense(weights.memory[name]) for name in read_weights(cell))
        return cls(_rows(x), W, R, b, p, memory, tuple(map(_dense, s0)))

    @classmethod
    def back(cls, cell: Cell, tensors: tuple[Any, ...]) -> "Inputs":
        x, W, R, b, *others = tensors
        vectors, state = len(cell.vectors), len(others) - len(cell.state)
        return cls(x, W, R, b, tuple(others[:vectors]), tuple(others[vectors:state]), tuple(others[state:]))

    def flat(self) -> tuple[Tensor | None, ...]:
        return (self.x, self.W, self.R, self.b, *self.p, *self.memory, *self.s0)

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        """N, T, B, D, H."""
        return (*self.x.shape, self.s0[0].shape[-1])  # type: ignore[return-value]


def _dense(value: Tensor) -> Tensor:
    return readable(value).contiguous()


def _rows(value: Tensor) -> Tensor:
    """With the features of a row side by side, which is all that the loop asks of (N, T, B, F)."""
    value = readable(value)
    return value if value.stride(-1) == 1 or value.shape[-1] == 1 else value.contiguous()


def _like_input(x: Tensor, H: int) -> Tensor:
    """An empty (N, T, B, H) whose rows lie as those of x: the output of a batch-first input is batch-first, too.

    Not a view, which nobody could modify in place when a function has returned it.
    """
    N, T, B, _ = x.shape
    strides = (B * T * H, H, T * H, 1) if x.stride(2) > x.stride(1) else (T * B * H, B * H, H, 1)
    return x.new_empty_strided((N, T, B, H), strides)


def _strides(prefix: str, value: Tensor) -> dict[str, int]:
    return {f"{prefix}_{name}": stride for name, stride in zip("ntb", value.stride(), strict=False)}


def _block(run: Run, inputs: Inputs, out: Tensor, **values: Any) -> Any:
    sizes = dict(zip("NTBDH", inputs.sizes, strict=True))
    memory = run.cell.memory
    if memory is not None:
        sizes["window"] = min(memory.window or sizes["T"], sizes["T"])
    plan = {"blocks": run.plan.blocks, "threads": run.plan.threads, "chunk": run.plan.chunk, "segment": run.segment}
    given = {name: getattr(inputs, name) for name in ("x", "W", "R", "b", "p", "s0")}
    given |= zip(read_weights(run.cell), inputs.memory, strict=True)
    strides = _strides("x", inputs.x) | _strides("out", out)
    return run.library.call(**sizes, **plan, **given, **strides, out=out, lengths=run.lengths, **values)


def forward(run: Run, inputs: Inputs) -> tuple[tuple[Tensor, ...], dict[str, Lease]]:
    """Output, last states and, on request, records; then what the backward pass needs: everything, or a state per segment."""
    N, T, B, _, H = inputs.sizes
    dtype = inputs.x.dtype
    out = _like_input(inputs.x, H)
    last = tuple(out.new_empty(N, B, H) for _ in run.cell.state)
    make = torch.zeros if run.lengths is not None else torch.empty
    counts = (len(run.cell.gates), len(run.cell.state)) if run.record else ()
    records = tuple(make(count, N, T, B, H, dtype=dtype) for count in counts)
    block = _block(run, inputs, out, last=last, **dict(zip(("record_a", "record_s"), records, strict=False)))
    names = [] if not run.save else ["saved" if run.segment >= T else "kept", *(["tape"] if run.cell.memory is not None else [])]
    held = {name: POOL.take(run.library.size(f"{name}_size", block), dtype) for name in names}
    for name, lease in held.items():
        setattr(block, name, lease.data_ptr())
    work = POOL.take(run.library.size("workspace", block, 0), dtype)
    block.work = work.data_ptr()
    run.library.forward(block)
    return (out, *last, *records), held


class TimeLoop(torch.autograd.Function):
    """Output, last states and records of one layer and direction; its gradients come from the compiled adjoint."""

    @staticmethod
    def forward(ctx: Any, run: Run, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        results, ctx.held = forward(run, Inputs.back(run.cell, tensors))
        ctx.run = run
        ctx.save_for_backward(*tensors)
        # The adjoint reads the output, but the user may do with it what they like: `_output` finds out whether they did.
        ctx.out = results[0].detach()
        ctx.version = ctx.out._version
        ctx.set_materialize_grads(False)
        return results

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        run: Run = ctx.run
        tensors: tuple[Tensor | None, ...] = ctx.saved_tensors  # raises if the graph was freed
        wanted = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled() or special((*tensors, *cotangents)) is not None:
            return (None, *_eagerly(run, tensors, wanted, cotangents))
        inputs = Inputs.back(run.cell, tensors)
        out = _output(ctx, inputs)
        made = [_empty(value, wish) for value, wish in zip(tensors, wanted, strict=True)]
        if inputs.W is None and run.cell.memory is None:  # no equation reads the input
            made[0] = None
        of = Inputs.back(run.cell, tuple(made))
        values: dict[str, Any] = ctx.held | {"dx": of.x, "dW": of.W, "dR": of.R, "db": of.b, "dp": of.p, "ds0": of.s0}
        values |= {f"d{name}": value for name, value in zip(read_weights(run.cell), of.memory, strict=True)}
        if made[0] is not None:
            values |= _strides("dx", made[0])
        # Kept by name until the call is over: the argument block holds addresses only.
        d_out, *others = _checked(run, inputs, cotangents)
        if d_out is not None:
            d_out = _rows(d_out)
            values |= {"d_out": d_out} | _strides("d_out", d_out)
        parts = len(run.cell.state)
        others = [None if value is None else _dense(value) for value in others]
        values["d_last"] = others[:parts]
        values |= dict(zip(("d_record_a", "d_record_s"), others[parts:], strict=False))
        flow = None
        if run.flow is not None:
            N, T, B, _, H = inputs.sizes
            flow = out.new_zeros(parts, N, T, B, H)
            run.flow.cotangents = dict(zip(run.cell.state, flow, strict=True))
        block = _block(run, inputs, out, flow=flow, **values)
        work = POOL.take(run.library.size("workspace", block, 1), out.dtype)
        block.work = work.data_ptr()
        run.library.backward(block)
        if not _graph_is_kept():
            ctx.held, ctx.out = {}, None
        return (None, *made)


def _output(ctx: Any, inputs: Inputs) -> Tensor:
    """What the loop put out, computed again if it was modified in place since."""
    if ctx.out._version == ctx.version:
        return ctx.out
    return forward(replace(ctx.run, save=False, record=False), inputs)[0][0]


def _checked(run: Run, inputs: Inputs, cotangents: Sequence[Tensor | None]) -> list[Tensor | None]:
    """The cotangents, which hooks on tensors may have replaced by anything.

    Raises:
        UserError: one has another shape, number format or device than what it is the derivative by.
    """
    N, T, B, _, H = inputs.sizes
    state = [(f"the last state {name}", (N, B, H)) for name in run.cell.state]
    records = [("a record", (count, N, T, B, H)) for count in (len(run.cell.gates), len(run.cell.state))]
    for (name, shape), value in zip([("the output", (N, T, B, H)), *state, *records], cotangents, strict=False):
        if value is not None and (value.shape, value.dtype, value.device) != (shape, inputs.x.dtype, inputs.x.device):
            raise UserError(
                f"The gradient of {name} has shape {tuple(value.shape)}, {value.dtype} and device {value.device}, but the backward "
                f"pass needs {shape}, {inputs.x.dtype} and {inputs.x.device}; look for a hook that replaces it."
            )
    return list(cotangents)


def _eagerly(
    run: Run, tensors: tuple[Tensor | None, ...], wanted: Sequence[bool], cotangents: Sequence[Tensor | None]
) -> Iterator[Tensor | None]:
    """The gradients by the eager loop: with a graph of their own (create_graph=True), or of cotangents that are not plain."""
    _log_once()
    again = torch.is_grad_enabled()
    with torch.enable_grad():  # a tensor may be given twice, as h and as c: each gets a name and a gradient of its own
        aliases = [None if value is None else value.view_as(value) for value in tensors]
    inputs = Inputs.back(run.cell, tuple(aliases))
    weights = Weights(
        inputs.W,
        inputs.R,
        inputs.b,
        dict(zip(run.cell.vectors, inputs.p, strict=True)),
        dict(zip(read_weights(run.cell), inputs.memory, strict=True)),
    )
    with torch.enable_grad():
        result = eager.scan(run.cell, weights, inputs.x, inputs.s0, run.lengths, run.record, flow=run.flow)
    results = [result.output, *result.state]
    if result.record is not None:
        results += [torch.stack([*part.values()]) for part in result.record]
    pairs = [(value, of) for value, of in zip(results, cotangents, strict=True) if of is not None and value.requires_grad]
    sources = [value for value, wish in zip(aliases, wanted, strict=True) if wish and value is not None]
    values = [value for value, _ in pairs]
    found = iter(torch.autograd.grad(values, sources, [of for _, of in pairs], create_graph=again, allow_unused=True))
    return (next(found) if wish and value is not None else None for value, wish in zip(aliases, wanted, strict=True))


@functools.cache
def _log_once() -> None:
    _log.warning("Backend 'cpu' has no second or batched derivatives; the eager loop computes them.")


def _empty(value: Tensor | None, wanted: bool) -> Tensor | None:
    if value is None or not wanted:
        return None
    return (
        _like_input(value, value.shape[-1]) if value.dim() == 4 else torch.empty_like(value, memory_format=torch.contiguous_format)
    )


def _graph_is_kept() -> bool:
    """Whether autograd may come back to this node (retain_graph=True); True where torch does not tell."""
    ask = getattr(torch._C._autograd, "_get_current_graph_task_keep_graph", None)  # type: ignore[attr-defined]
    return True if ask is None else ask()
