"""The time loop on a CUDA device: kernels that are printed in Triton from a cell's equations; cuDNN for the cells that torch has.

The printed kernels are tested in Triton's interpreter and compiled for sm_90, but have not run on a device yet: `auto` takes
torch's own functions from here, and the eager loop for all else. `backend=gpu` asks for the kernels.

`GATELAB_GPU_PATH` chooses between `loops` and `stepwise` (`path_of`); `GATELAB_GPU_GRAPHS=0` launches kernels one by one.
"""

import contextlib
import functools
import importlib.util
import os

import torch
from torch import Tensor

from gatelab.cells import Cell, reductions_of
from gatelab.errors import UserError
from gatelab.kernels import eager
from gatelab.kernels._gate import constant
from gatelab.kernels._inputs import Inputs
from gatelab.kernels._resets import live_resets
from gatelab.kernels._scan import Flow, Record, Scan, Weights, is_plain
from gatelab.kernels._trace import NotTraceableError
from gatelab.kernels.gpu import _loops, _peer
from gatelab.kernels.gpu._function import TimeLoop, forward
from gatelab.kernels.gpu._printer import Layout
from gatelab.kernels.gpu._products import Call
from gatelab.kernels.gpu._source import COMPUTES, equations

DEVICE = "cuda"


@constant
def refuses(cell: Cell, dtype: torch.dtype, device: torch.device, special: str | None, plain: bool, named: bool) -> str | None:
    """Why no kernel can serve: the device, the number format, a transformation of torch, or the equations."""
    if device.type != DEVICE and not (device.type == "cpu" and _interpreted()):
        return f"it runs on a CUDA device, but the tensors are on {device.type}."
    if special is not None:
        return f"it needs tensors whose memory it can read, but {special}."
    if torch.is_autocast_enabled(device.type):
        return "it does not convert number formats, but autocast is on; convert the model, as in .to(torch.bfloat16)."
    if dtype not in COMPUTES:
        return f"it has no kernels for {str(dtype).removeprefix('torch.')}."
    if plain and _peer.has_peer(cell):
        return None
    if not named:
        return "its kernels have not run on a CUDA device yet; backend=gpu asks for them."
    if not _triton():
        return "it needs Triton, which is not installed: pip install triton."
    return _unprintable(cell, COMPUTES[dtype])


@functools.cache
def _unprintable(cell: Cell, real: torch.dtype) -> str | None:
    if cell.memory is not None:
        return f"it has no read from earlier states yet, which {type(cell).__name__} declares."
    if cell.given:
        return "it has no values yet that are given for every step, such as the masks of zoneout."
    if cell.late:
        return f"it has no second product within a step yet, which {type(cell).__name__} declares as `late`."
    if len(cell.outputs) > 1:
        return f"it has no output of several parts yet, which {type(cell).__name__} declares as `output`."
    if reductions_of(cell):
        return f"it has no functions over the units of a row yet, and {type(cell).__name__} calls {reductions_of(cell)[0]}."
    try:
        equations(cell, real)
    except NotTraceableError as error:
        return f"{type(cell).__name__} has no Triton form: {error}"
    return None


@functools.cache
def _triton() -> bool:
    return importlib.util.find_spec("triton") is not None


def _interpreted() -> bool:
    """Whether Triton's interpreter is asked for: then kernels run on the CPU, slowly, for tests."""
    return os.environ.get("TRITON_INTERPRET") == "1"


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
    if not x.numel():  # no rows: nothing to launch
        return eager.scan(cell, weights, x, s0, lengths, record, checkpoint_every, flow, resets, restart)
    boundaries = again = None
    if resets is not None:
        boundaries = live_resets(resets, lengths, x.device)
        again = restart or (torch.zeros_like(s0[0]),) * len(s0)
    inputs = Inputs.of(cell, weights, x, s0, again).laid_out()
    ends = None if lengths is None else lengths.to(x.device, torch.int64, copy=True)
    path = path_of(cell, inputs.sizes[-1], x.dtype, is_plain(x, lengths, record, flow, resets))
    call = Call(cell, path, ends, boundaries, record, flow)
    save = torch.is_grad_enabled() and any(value is not None and value.requires_grad for value in inputs.flat())
    with torch.cuda.device(x.device) if x.is_cuda else contextlib.nullcontext():  # Triton launches on the current device
        made = TimeLoop.apply(call, *inputs.flat()) if save else forward(call, inputs)
    parts = len(cell.state)
    shown = None
    if record:
        a, s = made[1 + parts :]
        shown = Record(dict(zip(cell.gates, a, strict=True)), dict(zip(cell.state, s, strict=True)))
    return Scan(made[0], tuple(made[1 : 1 + parts]), shown)


def path_of(cell: Cell, H: int, dtype: torch.dtype, plain: bool) -> str:
    """How a call is computed: by torch's own functions ("peer"), in one kernel ("loops"), or step by step ("stepwise").

    Args:
        cell: the equations.
        H: units.
        dtype: the number format.
        plain: as of `is_plain`.

    Raises:
        UserError: GATELAB_GPU_PATH asks for one that there is not.
    """
    layout = Layout.of(cell, equations(cell, COMPUTES[dtype]))
    fits = _loops.fits(layout, H, dtype)
    wish = os.environ.get("GATELAB_GPU_PATH")
    if wish not in (None, "loops", "stepwise"):
        raise UserError(f"GATELAB_GPU_PATH is '{wish}', but accepted are loops and stepwise.")
    if wish == "loops" and not fits:
        raise UserError(
            f"GATELAB_GPU_PATH is 'loops', but the recurrent weights of {H} units do not fit on the chip; use stepwise."
        )
    if wish is not None:
        return wish
    if plain and _peer.has_peer(cell):
        return "peer"
    exact = dtype == torch.float64 and layout.recurrent > 0  # no product of matrix units on most devices
    return "loops" if fits and not exact else "stepwise"


__all__ = ["DEVICE", "path_of", "refuses", "scan"]
