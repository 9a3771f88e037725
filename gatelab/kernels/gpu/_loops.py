"""The whole time loop in one kernel: no recurrent product, or one whose weights fit on the chip."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gatelab.kernels._inputs import Inputs
from gatelab.kernels.gpu._printer import Layout
from gatelab.kernels.gpu._products import Call, Held, Packed, flows, gradients, project, records
from gatelab.kernels.gpu._source import COMPUTES, LAUNCH, Kernels, loops

_ROWS = 16  # the smallest size for matrix units
_ON_CHIP = 128 * 1024  # bytes of recurrent weights: half of the registers of a multiprocessor


def fits(layout: Layout, H: int, dtype: torch.dtype) -> bool:
    """Whether the recurrent weights stay on the chip."""
    block = _padded(H)
    return layout.recurrent * len(layout.fed) * block * block * dtype.itemsize <= _ON_CHIP


def forward(call: Call, inputs: Inputs, save: bool) -> tuple[tuple[Tensor, ...], Held | None]:
    """Like `_stepwise.forward`."""
    x = inputs.x
    N, T, B, _, H = inputs.sizes
    real = COMPUTES[x.dtype]
    kernels = loops(call.cell, real)
    layout = kernels.layout
    packed = Packed.of(call.cell, layout, inputs, real)
    projected = x.new_empty(N, T, B, layout.inputs * H)
    project(x, packed, projected)
    out, last = x.new_empty(N, T, B, H), x.new_empty(len(layout.state), N, B, H)
    held = Held.empty(layout, x, H, real) if save else None
    shown = records(call, layout, x, H)
    flags = {"BIAS": packed.b is not None, "KEEP": save, **_flags(call)}
    grid, constants = _launch(kernels, inputs)
    arguments = [projected, packed.R, packed.b, packed.p, torch.stack(inputs.s0), _stacked(inputs.again), out, last]
    arguments += [*(held or (None,) * 3), *(shown or (None,) * 2), call.lengths, _bytes(call.resets)]
    kernels.forward[grid](*_all(arguments, x), N, T, B, H, **flags, **constants)
    return (out, *last.unbind(), *shown), held


def backward(
    call: Call, inputs: Inputs, held: Held, cotangents: Sequence[Tensor | None], wanted: Sequence[bool]
) -> tuple[Tensor | None, ...]:
    """Like `_stepwise.backward`."""
    x = inputs.x
    N, T, B, _, H = inputs.sizes
    real = COMPUTES[x.dtype]
    kernels = loops(call.cell, real)
    layout = kernels.layout
    packed = Packed.of(call.cell, layout, inputs, real)
    d_out, *others = cotangents
    d_last, d_shown = others[: len(layout.state)], others[len(layout.state) :]
    d_out = x.new_zeros(N, T, B, H) if d_out is None else d_out.contiguous()
    ends = torch.stack([x.new_zeros(N, B, H) if part is None else part for part in d_last])
    counts = (len(layout.gates), len(layout.state))
    d_shown = [
        x.new_zeros(count, N, T, B, H) if value is None else value.contiguous()
        for count, value in zip(counts, d_shown, strict=False)
    ]
    da = x.new_empty(N, T, B, len(layout.gates) * H)
    ds0, d_restart = x.new_empty(2, len(layout.state), N, B, H)
    dp = x.new_empty(len(layout.vectors), N, B, H, dtype=real)
    flow = flows(call, layout, x, H)
    grid, constants = _launch(kernels, inputs)
    arguments = [d_out, ends, packed.R, packed.p, held.kept, held.reads, *(d_shown or (None,) * 2)]
    arguments += [da, ds0, d_restart, dp, flow, call.lengths, _bytes(call.resets)]
    kernels.backward[grid](*_all(arguments, x), N, T, B, H, FLOW=flow is not None, **_flags(call), **constants)
    by_p = tuple(part.sum(1).to(x.dtype) for part in dp)
    by_restart = (None,) * len(ds0) if call.resets is None else d_restart.unbind()
    return (*gradients(call.cell, layout, inputs, held.fed, da, wanted), *by_p, *ds0.unbind(), *by_restart)


def _flags(call: Call) -> dict[str, bool]:
    return {"ENDS": call.lengths is not None, "RECORD": call.record, "RESETS": call.resets is not None}


def _all(arguments: Sequence[Tensor | None], instead: Tensor) -> list[Tensor]:
    """Arguments of a kernel; a missing one is replaced by any tensor, so that every argument is an address."""
    return [instead if value is None else value for value in arguments]


def _stacked(parts: Sequence[Tensor] | None) -> Tensor | None:
    return None if parts is None else torch.stack(tuple(parts))


def _bytes(flags: Tensor | None) -> Tensor | None:
    return None if flags is None else flags.view(torch.uint8)


def _padded(H: int) -> int:
    return max(16, 1 << (H - 1).bit_length())


def _launch(kernels: Kernels, inputs: Inputs) -> tuple[tuple[int, ...], dict[str, Any]]:
    """The grid and the constants of a launch."""
    import triton.language as tl  # pyright: ignore[reportMissingImports] - torch's CPU build has none

    N, _, B, _, H = inputs.sizes
    tile, block = (_ROWS, _padded(H)) if kernels.layout.recurrent else (1, min(_padded(H), 128))
    precision = "tf32" if torch.backends.cuda.matmul.allow_tf32 else "tf32x3"
    return (math.ceil(B / tile), math.ceil(H / block), N), {
        "PRECISION": precision if inputs.x.dtype == torch.float32 else "ieee",
        "TYPE": getattr(tl, str(inputs.x.dtype).removeprefix("torch.")),
        "TILE": tile,
        "BLOCK": block,
        "num_warps": max(1, min(16, block * tile // 128)),
        "num_stages": 1,
        **LAUNCH,
    }
