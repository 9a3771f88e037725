"""The time loop step by step on the device, for every cell and every H: forward and backward."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gatelab.kernels._inputs import Inputs
from gatelab.kernels.gpu._chunk import Backward, Forward, Shape, chunk_of, pieces
from gatelab.kernels.gpu._products import Call, Held, Packed, flows, gradients, project, records


def forward(call: Call, inputs: Inputs, save: bool) -> tuple[tuple[Tensor, ...], Held | None]:
    """Output, last states and, on request, records of one layer and direction; and what the backward pass needs, to `save`."""
    x = inputs.x
    N, T, B, _, H = inputs.sizes
    chunk: Forward = chunk_of(Forward, call.cell, _shape(call, inputs, save))
    layout = chunk.layout
    live, resets = _live(call, T), _resets(call)
    out = x.new_empty(N, T, B, H)
    held = Held.empty(layout, x, H, chunk.real) if save else None
    shown = records(call, layout, x, H)
    with chunk.lock:
        packed = Packed.of(call.cell, layout, inputs, chunk.real)
        chunk.set(packed)
        before = inputs.s0
        if resets is not None:
            again = inputs.again
            assert again is not None
            _fill(chunk.restart, again)
            before = [torch.where(resets[0].bool()[:, None], *pair) for pair in zip(again, before, strict=True)]
        _fill(chunk.state, before)
        for index, name in enumerate(layout.fed):
            chunk.fed[:, 0, :, index * H : (index + 1) * H].copy_(before[layout.state.index(name)])
        for start, count in pieces(T):
            steps = slice(start, start + count)
            project(x[:, steps], packed, chunk.x[:, :count])
            if live is not None:
                chunk.live[:count].copy_(live[steps])
            if resets is not None:
                chunk.resets[:count].copy_(resets[start + 1 : start + count + 1])
            if held is not None:
                held.fed[:, start].copy_(chunk.fed[:, 0])
            chunk.run(count)
            out[:, steps].copy_(chunk.out[:, :count])
            for whole, part in zip(shown, (chunk.record_a, chunk.record_s), strict=False):
                whole[:, :, steps].copy_(part[:, :, :count])
            if held is not None:
                held.kept[:, steps].copy_(chunk.kept[:, :count])
                held.reads[:, steps].copy_(chunk.reads[:, :count])
                held.fed[:, start + 1 : start + count].copy_(chunk.fed[:, 1:count])
        last = tuple(part.to(x.dtype, copy=True) for part in chunk.state)
    return (out, *last, *shown), held


def backward(
    call: Call, inputs: Inputs, held: Held, cotangents: Sequence[Tensor | None], wanted: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """The gradients of the inputs in the order of `Inputs.flat`.

    Args:
        call: the settings of the call.
        inputs: as given to `forward`.
        held: the values that `forward` kept.
        cotangents: derivatives with respect to the results of `forward`.
        wanted: which inputs need gradients.
    """
    x = inputs.x
    N, T, B, _, H = inputs.sizes
    chunk: Backward = chunk_of(Backward, call.cell, _shape(call, inputs, True))
    layout = chunk.layout
    live, resets = _live(call, T), _resets(call)
    flow = flows(call, layout, x, H)
    da = x.new_empty(N, T, B, len(layout.gates) * H)
    d_out, *others = cotangents
    d_last, d_shown = others[: len(layout.state)], others[len(layout.state) :]
    with chunk.lock:
        chunk.set(Packed.of(call.cell, layout, inputs, chunk.real))
        chunk.d_fed.zero_()
        chunk.dp.zero_()
        chunk.restart.zero_()
        for part, value in zip(chunk.state, d_last, strict=True):
            part.zero_() if value is None else part.copy_(value)
        wholes = [d_out, *d_shown]
        places = [chunk.d_out[None], chunk.record_a, chunk.record_s]
        for whole, part in zip(wholes, places, strict=False):
            if whole is None:
                part.zero_()
        for start, count in reversed(list(pieces(T))):
            steps = slice(start, start + count)
            for whole, part in zip(wholes, places, strict=False):
                if whole is not None:
                    part[:, :, :count].copy_(whole[..., steps, :, :])
            chunk.kept[:, :count].copy_(held.kept[:, steps])
            chunk.reads[:, :count].copy_(held.reads[:, steps])
            if live is not None:
                chunk.live[:count].copy_(live[steps])
            if resets is not None:
                chunk.resets[:count].copy_(resets[start + 1 : start + count + 1])
            chunk.run(count)
            if flow is not None:
                flow[:, :, steps].copy_(chunk.flow[:, :, :count])
            da[:, steps].copy_(chunk.da[:, :count])
        for index, name in enumerate(layout.fed):
            chunk.state[layout.state.index(name)] += chunk.d_fed[..., index * H : (index + 1) * H]
        by_restart: tuple[Tensor | None, ...] = (None,) * len(layout.state)
        if resets is not None:
            first = resets[0].bool()[:, None]
            chunk.restart += torch.where(first, chunk.state, 0)
            chunk.state.masked_fill_(first, 0)
            by_restart = tuple(part.to(x.dtype, copy=True) for part in chunk.restart)
        ds0 = tuple(part.to(x.dtype, copy=True) for part in chunk.state)
        dp = tuple(part.sum(1).to(x.dtype) for part in chunk.dp)
    return (*gradients(call.cell, layout, inputs, held.fed, da, wanted), *dp, *ds0, *by_restart)


def _shape(call: Call, inputs: Inputs, keep: bool) -> Shape:
    N, _, B, _, H = inputs.sizes
    x, ends, resets = inputs.x, call.lengths is not None, call.resets is not None
    return Shape(N, B, H, x.dtype, x.device, inputs.b is not None, ends, keep, call.record, resets, call.flow is not None)


def _fill(into: Tensor, values: Sequence[Tensor]) -> None:
    for part, value in zip(into, values, strict=True):
        part.copy_(value)


def _live(call: Call, T: int) -> Tensor | None:
    """Rows that have not ended (T, B), or None."""
    if call.lengths is None:
        return None
    return (torch.arange(T, device=call.lengths.device)[:, None] < call.lengths).to(torch.uint8)


def _resets(call: Call) -> Tensor | None:
    """Rows that start again (T + 1, B), with none after the last step; or None."""
    if call.resets is None:
        return None
    return torch.cat((call.resets, torch.zeros_like(call.resets[:1]))).to(torch.uint8)
