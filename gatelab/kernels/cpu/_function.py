"""The compiled loop as an autograd function."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from gatelab.cells import Cell
from gatelab.kernels._gate import check, special
from gatelab.kernels._inputs import Inputs, dense, eagerly, graph_is_kept, read_weights, rows
from gatelab.kernels._scan import Flow
from gatelab.kernels.cpu._call import POOL, ArgumentBlock, Form, Library


class LoopCall(NamedTuple):
    """The settings of a call: everything but the tensors that have gradients.

    Attributes:
        library: the compiled loop.
        cell: the equations.
        form: its sizes, and how it is divided.
        lengths: valid steps of each row (B,), or None.
        resets: steps that read `Inputs.restart` in place of the state before them (T, B), or None.
        record: whether to return what `step` was given.
        save: whether there will be a backward pass.
        flow: where the backward pass leaves the cotangents of the states, or None.
    """

    library: Library
    cell: Cell
    form: Form
    lengths: Tensor | None
    resets: Tensor | None
    record: bool
    save: bool
    flow: Flow | None

    @property
    def ended(self) -> bool:
        """Whether rows may end before T."""
        return self.lengths is not None


class Memory(Protocol):
    """A block of reals."""

    def data_ptr(self) -> int: ...


M = TypeVar("M", bound=Memory)


def _like_input(x: Tensor, width: int) -> Tensor:
    """An empty (N, T, B, width) with the memory order of x: for a batch-first input the output is batch-first, too.

    It is not a view, because autograd forbids modifying a returned view in place.
    """
    N, T, B, _ = x.shape
    _, t, b, _ = x.stride()
    strides = (B * T * width, width, T * width, 1) if b > t else (T * B * width, B * width, width, 1)
    return x.new_empty_strided((N, T, B, width), strides)


def _block(call: LoopCall, inputs: Inputs, out: Tensor, values: Mapping[str, Any]) -> ArgumentBlock:
    block = ArgumentBlock(call.form).strides("x_n", inputs.x).strides("out_n", out)
    if inputs.memory:
        block.set(dict(zip(read_weights(call.cell), inputs.memory, strict=True)))
    if call.resets is not None:
        block.set({"resets": call.resets, "restart": inputs.restart})
    return block.set(
        {
            "x": inputs.x,
            "W": inputs.W,
            "R": inputs.R,
            "b": inputs.b,
            "p": inputs.p,
            "late": inputs.late,
            "given": inputs.given,
            "s0": inputs.s0,
            "out": out,
            "lengths": call.lengths,
            **values,
        }
    )


def results(call: LoopCall, inputs: Inputs) -> tuple[Tensor, ...]:
    """Memory for output, last states and, on request, records."""
    N, T, B, _, H = inputs.sizes
    out = _like_input(inputs.x, call.cell.output_size(H))
    made = [out, *[torch.empty_like(part, memory_format=torch.contiguous_format) for part in inputs.s0]]
    if call.record:
        make = out.new_zeros if call.ended else out.new_empty
        made += [make((count, N, T, B, H)) for count in (len(call.cell.gates), len(call.cell.state))]
    return tuple(made)


def held_sizes(call: LoopCall) -> dict[str, int]:
    """The sizes of what else the backward pass needs: everything, or a state for each segment; and the tape."""
    if not call.save:
        return {}
    names = ["saved" if call.form.segment >= call.form.sizes[1] else "kept", *(["tape"] if call.cell.memory is not None else [])]
    return {name: call.form.size(f"{name}_size") for name in names}


def forward(call: LoopCall, inputs: Inputs, take: Callable[[int, torch.dtype], M]) -> tuple[tuple[Tensor, ...], dict[str, M]]:
    """Output, last states and records; then what the backward pass needs, in memory from `take`."""
    out, *others = made = results(call, inputs)
    parts = len(call.cell.state)
    records = dict(zip(("record_a", "record_s"), others[parts:], strict=False))
    held = {name: take(size, out.dtype) for name, size in held_sizes(call).items()}
    work = POOL.take(call.form.size("workspace", 0, tape="tape" in held), out.dtype)
    call.library.forward(_block(call, inputs, out, {"last": others[:parts], "work": work, **records, **held}))
    return made, held


def adjoint(
    call: LoopCall,
    inputs: Inputs,
    out: Tensor,
    held: Mapping[str, Memory],
    cotangents: Sequence[Tensor | None],
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    """The gradients of the wanted tensors of `inputs`, in the order of `Inputs.flat`."""
    made = [_empty(value, wish) for value, wish in zip(inputs.flat(), wanted, strict=True)]
    if inputs.W is None and call.cell.memory is None:  # no equation reads the input
        made[0] = None
    of = Inputs.back(call.cell, tuple(made))
    values: dict[str, Any] = {**held, "dx": of.x, "dW": of.W, "dR": of.R, "db": of.b, "dp": of.p, "dlate": of.late, "ds0": of.s0}
    values |= {"drestart": of.restart}
    values |= {f"d{name}": value for name, value in zip(read_weights(call.cell), of.memory, strict=True)}
    # Kept by name until the call is over: the argument block holds only addresses.
    d_out, *others = cotangents
    if d_out is not None:
        d_out = rows(d_out)
        values["d_out"] = d_out
    parts = len(call.cell.state)
    others = [None if value is None else dense(value) for value in others]
    values["d_last"] = others[:parts]
    values |= dict(zip(("d_record_a", "d_record_s"), others[parts:], strict=False))
    flow = None
    if call.flow is not None:
        N, T, B, _, H = call.form.sizes
        flow = out.new_zeros(parts, N, T, B, H)
        call.flow.cotangents = dict(zip(call.cell.state, flow, strict=True))
    work = POOL.take(call.form.size("workspace", 1, tape="tape" in held), out.dtype)
    block = _block(call, inputs, out, {"flow": flow, "work": work, **values})
    if made[0] is not None:
        block.strides("dx_n", made[0])
    if d_out is not None:
        block.strides("d_out_n", d_out)
    call.library.backward(block)
    return made


class TimeLoop(torch.autograd.Function):
    """Output, last states and records of one layer and direction; its gradients come from the compiled adjoint."""

    @staticmethod
    def forward(ctx: Any, call: LoopCall, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        made, ctx.held = forward(call, Inputs.back(call.cell, tensors), POOL.take)
        ctx.call = call
        ctx.save_for_backward(*tensors)
        # The adjoint reads the output, but the user may modify it: `_output` detects that.
        ctx.out = made[0].detach()
        ctx.version = ctx.out._version
        ctx.set_materialize_grads(False)
        return made

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        call: LoopCall = ctx.call
        tensors: tuple[Tensor | None, ...] = ctx.saved_tensors  # raises if the graph was freed
        wanted = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled() or special((*tensors, *cotangents)) is not None:
            return (None, *eagerly("cpu", call, tensors, wanted, cotangents))
        inputs = Inputs.back(call.cell, tensors)
        # Hooks on saved tensors may return anything.
        check(call.cell, inputs.weights(call.cell), inputs.x, inputs.s0, restart=inputs.again)
        inputs = inputs.laid_out()
        made = adjoint(call, inputs, _output(ctx, inputs), ctx.held, cotangents, wanted)
        if not graph_is_kept():
            ctx.held, ctx.out = {}, None
        return (None, *made)


def _output(ctx: Any, inputs: Inputs) -> Tensor:
    """The output of the loop, computed again if it was modified in place."""
    if ctx.out._version == ctx.version:
        return ctx.out
    return forward(ctx.call._replace(save=False, record=False), inputs, POOL.take)[0][0]


def _empty(value: Tensor | None, wanted: bool) -> Tensor | None:
    if value is None or not wanted:
        return None
    return (
        _like_input(value, value.shape[-1]) if value.dim() == 4 else torch.empty_like(value, memory_format=torch.contiguous_format)
    )
