"""The backend `cpu`: whether it can serve a call, and the call."""

import torch
from torch import Tensor

from gatelab.cells import Cell
from gatelab.errors import UserError
from gatelab.kernels import eager
from gatelab.kernels._gate import CAPTURED, constant
from gatelab.kernels._inputs import Inputs
from gatelab.kernels._resets import live_resets
from gatelab.kernels._scan import Flow, Record, Scan, Weights
from gatelab.kernels.cpu._call import DTYPES, POOL, divide, library, segment_of
from gatelab.kernels.cpu._function import LoopCall, TimeLoop, forward
from gatelab.kernels.cpu._operator import captured
from gatelab.kernels.cpu._verify import difference
from gatelab.kernels.cpu.build import BuildError


@constant
def refuses(cell: Cell, dtype: torch.dtype, device: torch.device, special: str | None, *_: bool) -> str | None:
    """Why the compiled loop cannot serve: the device, the number format, a transformation of torch, or the equations."""
    if special is not None and special != CAPTURED:
        return f"it needs tensors whose memory it can read, but {special}."
    if device.type != "cpu":
        return f"it runs on a CPU, but the tensors are on {device.type}."
    if torch.is_autocast_enabled("cpu"):
        return "it needs float32 or float64, but autocast is on."
    if dtype not in DTYPES:
        return f"it needs float32 or float64, but the tensors are {str(dtype).removeprefix('torch.')}."
    try:
        library(cell, dtype)
    except (UserError, BuildError) as error:
        return str(error)
    return difference(cell, dtype)


def scan(
    cell: Cell,
    weights: Weights,
    x: Tensor,
    s0: tuple[Tensor, ...],
    lengths: Tensor | None = None,
    record: bool = False,
    checkpoint_every: int | None = None,
    flow: Flow | None = None,
    resets: Tensor | None = None,
    restart: tuple[Tensor, ...] | None = None,
) -> Scan:
    """Runs one layer in one direction; arguments as of `gatelab.kernels.scan`."""
    if not x.numel():  # no rows: nothing to divide among threads
        return eager.scan(cell, weights, x, s0, lengths, record, checkpoint_every, flow, resets, restart)
    boundaries = again = None
    if resets is not None:
        boundaries = live_resets(resets, lengths, x.device)
        again = restart or (torch.zeros_like(s0[0]),) * len(s0)
    inputs = Inputs.of(cell, weights, x, s0, again)
    if torch.compiler.is_compiling():
        return captured(cell, inputs, lengths, boundaries, record, checkpoint_every)
    inputs = inputs.laid_out()
    sizes = N, T, B, _, H = inputs.sizes
    division = divide(N, B, torch.get_num_threads())
    save = torch.is_grad_enabled() and any(value is not None and value.requires_grad for value in inputs.flat())
    segment = segment_of(cell, division, N * B * H * x.element_size(), T, checkpoint_every, save)
    # A copy, as of resets: the backward pass reads it when the caller may have overwritten theirs.
    ends = None if lengths is None else lengths.to("cpu", torch.int64, copy=True).contiguous()
    kernels = library(cell, x.dtype)
    call = LoopCall(kernels, cell, kernels.form(sizes, division, segment), ends, boundaries, record, save, flow)
    results = TimeLoop.apply(call, *inputs.flat()) if save else forward(call, inputs, POOL.take)[0]
    parts = len(cell.state)
    made = None
    if record:
        a, s = results[1 + parts :]
        made = Record(dict(zip(cell.gates, a, strict=True)) | dict(weights.given), dict(zip(cell.state, s, strict=True)))
    return Scan(results[0], tuple(results[1 : 1 + parts]), made)
