"""The time loop as C, printed from a cell's equations: forward and backward in one call each."""

import math

import torch
from torch import Tensor

from gatelab.cells import Cell
from gatelab.kernels._scan import Flow, Record, Scan, Weights
from gatelab.kernels.cpu._build import BuildError
from gatelab.kernels.cpu._call import DTYPES, default_segment, library, plan
from gatelab.kernels.cpu._function import Inputs, Run, TimeLoop, forward
from gatelab.kernels.cpu._source import source
from gatelab.registry import UserError


@torch.compiler.disable
def refuses(cell: Cell, weights: Weights, x: Tensor) -> str | None:
    """Why the compiled loop cannot serve: the device, the number format, a transformation of torch, or the equations."""
    tensors = [x, *weights.tensors()]
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor  # type: ignore[attr-defined]
    if any(wrapped(value) for value in tensors):
        return "it cannot be transformed by torch.func or torch.vmap."
    if x.device.type != "cpu":
        return f"it runs on a CPU, and the input is on {x.device.type}."
    if torch.is_autocast_enabled("cpu"):
        return "it computes in float32 or float64, and autocast asks for less."
    if x.dtype not in DTYPES or any(value.dtype != x.dtype for value in tensors):
        return (
            f"it computes in float32 or float64, one for all, and was given {', '.join(sorted({str(t.dtype) for t in tensors}))}."
        )
    try:
        library(cell, x.dtype)
    except (UserError, BuildError) as error:
        return str(error)
    return None


@torch.compiler.disable
def scan(
    cell: Cell,
    weights: Weights,
    x: Tensor,
    s0: tuple[Tensor, ...],
    lengths: Tensor | None = None,
    record: bool = False,
    checkpoint_every: int | None = None,
    flow: Flow | None = None,
) -> Scan:
    """Runs one layer in one direction; arguments as of `gatelab.kernels.scan`."""
    inputs = Inputs.of(cell, weights, x, s0)
    N, T, B, _, H = inputs.sizes
    divided = plan(N, B, torch.get_num_threads())
    kernels = library(cell, x.dtype)
    save = torch.is_grad_enabled() and any(value is not None and value.requires_grad for value in inputs.flat())
    steps = checkpoint_every or default_segment(cell, N * B * H * x.element_size(), T)
    segment = min(T, math.ceil(steps / divided.chunk) * divided.chunk)
    ends = None if lengths is None else lengths.to(torch.int64).contiguous()
    run = Run(kernels, cell, divided, segment, ends, record, save, flow)
    results = TimeLoop.apply(run, *inputs.flat()) if save else forward(run, inputs)[0]
    parts = len(cell.state)
    made = None
    if record:
        a, s = results[1 + parts :]
        made = Record(dict(zip(cell.gates, a, strict=True)), dict(zip(cell.state, s, strict=True)))
    return Scan(results[0], tuple(results[1 : 1 + parts]), made)


__all__ = ["refuses", "scan", "source"]
