"""The compiled loop as an operator of torch, for graphs of torch.compile, which see shapes and no Python."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gatelab.cells import Cell
from gatelab.kernels._gate import constant
from gatelab.kernels._inputs import Inputs
from gatelab.kernels._scan import Record, Scan
from gatelab.kernels.cpu._call import Division, divide, library, segment_of
from gatelab.kernels.cpu._function import LoopCall, adjoint, forward, held_sizes, results

_cells: dict[str, Cell] = {}  # a graph refers to a cell by this text


@constant
def _settled(cell: Cell, sizes: tuple[int, ...], itemsize: int, every: int | None, save: bool) -> tuple[str, list[int]]:
    """The text that stands for a cell, and the blocks, threads, chunk and segment that the backward pass must share."""
    N, T, B, H = sizes
    key = f"{type(cell).__module__}:{cell!r}"
    while _cells.setdefault(key, cell) != cell:  # a notebook may redefine a class, and a graph keeps the one that it captured
        key += "'"
    division = divide(N, B, torch.get_num_threads())
    segment = segment_of(cell, division, N * B * H * itemsize, T, every, save)
    return key, [division.blocks, division.threads, division.chunk, segment]


def captured(cell: Cell, inputs: Inputs, lengths: Tensor | None, resets: Tensor | None, record: bool, every: int | None) -> Scan:
    """Like `gatelab.kernels.scan`, as one node of the graph that is being captured; `resets` as in `LoopCall`."""
    N, T, B, _, H = inputs.sizes
    # Without missing ones: autograd treats a list that contains None as one without gradients.
    tensors, there = [value for value in inputs.flat() if value is not None], [value is not None for value in inputs.flat()]
    save = torch.is_grad_enabled() and any(value.requires_grad for value in tensors)
    key, numbers = _settled(cell, (N, T, B, H), inputs.x.element_size(), every, save)
    made = torch.ops.gatelab.time_loop(tensors, lengths, resets, key, there, numbers, record, save)
    parts = len(cell.state)
    records = None
    if record:
        a, s = made[1 + parts : 3 + parts]
        given = dict(zip((*cell.gates, *cell.given), (*a.unbind(0), *inputs.given), strict=True))
        records = Record(given, dict(zip(cell.state, s.unbind(0), strict=True)))
    return Scan(made[0], tuple(made[1 : 1 + parts]), records)


def _call_of(
    key: str,
    there: Sequence[bool],
    tensors: Sequence[Tensor],
    lengths: Tensor | None,
    resets: Tensor | None,
    numbers: Sequence[int],
    record: bool,
    save: bool,
) -> tuple[LoopCall, Inputs]:
    given = iter(tensors)
    inputs = Inputs.back(_cells[key], tuple(next(given) if here else None for here in there))
    kernels = library(_cells[key], inputs.x.dtype)
    blocks, threads, chunk, segment = map(int, numbers)
    N, T, B, D, H = map(int, inputs.sizes)
    form = kernels.form((N, T, B, D, H), Division(blocks, threads, chunk), segment)
    return LoopCall(kernels, _cells[key], form, lengths, resets, record, save, None), inputs


def _ends(lengths: Tensor | None) -> Tensor | None:
    return None if lengths is None else lengths.to("cpu", torch.int64).contiguous()


def _dense(resets: Tensor | None) -> Tensor | None:
    return None if resets is None else resets.contiguous()


def _contiguous(value: Tensor) -> Tensor:
    """Contiguous: the strides that the graph expects."""
    return value.contiguous()


@torch.library.custom_op("gatelab::time_loop", mutates_args=())
def _time_loop(
    tensors: Sequence[Tensor],
    lengths: Tensor | None,
    resets: Tensor | None,
    key: str,
    there: Sequence[bool],
    numbers: Sequence[int],
    record: bool,
    save: bool,
) -> list[Tensor]:
    call, inputs = _call_of(key, there, tensors, _ends(lengths), _dense(resets), numbers, record, save)
    made, held = forward(call, inputs.laid_out(), lambda count, dtype: torch.empty(count, dtype=dtype))
    return [*map(_contiguous, made), *held.values()]


@_time_loop.register_fake
def _(
    tensors: Sequence[Tensor],
    lengths: Tensor | None,
    resets: Tensor | None,
    key: str,
    there: Sequence[bool],
    numbers: Sequence[int],
    record: bool,
    save: bool,
) -> list[Tensor]:
    call, inputs = _call_of(key, there, tensors, lengths, resets, numbers, record, save)
    held = held_sizes(call).values()
    return [*(value.new_empty(value.shape) for value in results(call, inputs)), *(inputs.x.new_empty(size) for size in held)]


@torch.library.custom_op("gatelab::time_loop_backward", mutates_args=())
def _time_loop_backward(
    tensors: Sequence[Tensor],
    out: Tensor,
    held: Sequence[Tensor],
    cotangents: Sequence[Tensor | None],
    lengths: Tensor | None,
    resets: Tensor | None,
    key: str,
    there: Sequence[bool],
    numbers: Sequence[int],
    record: bool,
    wanted: Sequence[bool],
) -> list[Tensor]:
    call, inputs = _call_of(key, there, tensors, _ends(lengths), _dense(resets), numbers, record, True)
    memory = dict(zip(held_sizes(call), held, strict=True))
    wishes = iter(wanted)
    made = adjoint(call, inputs.laid_out(), out, memory, cotangents, [here and next(wishes) for here in there])
    found = zip((value for value, here in zip(made, there, strict=True) if here), tensors, wanted, strict=True)
    return [torch.zeros_like(given) if value is None else _contiguous(value) for value, given, wish in found if wish]


@_time_loop_backward.register_fake
def _(
    tensors: Sequence[Tensor],
    out: Tensor,  # noqa: ARG001 - the signature of the operator
    held: Sequence[Tensor],  # noqa: ARG001
    cotangents: Sequence[Tensor | None],  # noqa: ARG001
    lengths: Tensor | None,  # noqa: ARG001
    resets: Tensor | None,  # noqa: ARG001
    key: str,  # noqa: ARG001
    there: Sequence[bool],  # noqa: ARG001
    numbers: Sequence[int],  # noqa: ARG001
    record: bool,  # noqa: ARG001
    wanted: Sequence[bool],
) -> list[Tensor]:
    return [value.new_empty(value.shape) for value, wish in zip(tensors, wanted, strict=True) if wish]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    tensors, lengths, resets, *ctx.rest, ctx.save = inputs
    ctx.counts = len(tensors), 1 + len(_cells[ctx.rest[0]].state) + 2 * ctx.rest[3]
    ctx.wanted = [value.requires_grad for value in tensors]
    ctx.save_for_backward(*tensors, lengths, resets, output[0], *output[ctx.counts[1] :])


def _backward(ctx: Any, grads: list[Tensor | None]) -> tuple[Any, ...]:
    count, visible = ctx.counts
    tensors, (lengths, resets, out, *held) = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
    found = iter(torch.ops.gatelab.time_loop_backward(tensors, out, held, grads[:visible], lengths, resets, *ctx.rest, ctx.wanted))
    return [next(found) if wish else None for wish in ctx.wanted], None, None, None, None, None, None, None


_time_loop.register_autograd(_backward, setup_context=_setup)
