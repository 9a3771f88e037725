"""Shared by all paths on the device: weights in the order of the kernels, and the products over all time steps."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gatelab.cells import Cell
from gatelab.kernels._inputs import Inputs
from gatelab.kernels._scan import Flow
from gatelab.kernels.gpu._printer import Layout


class Call(NamedTuple):
    """The settings of a call: everything but the tensors that have gradients.

    Attributes:
        cell: the equations.
        path: how it is computed: "peer", "loops" or "stepwise".
        lengths: valid steps of each row (B,), on the device, or None.
        resets: steps that read `Inputs.restart` in place of the state before them (T, B), or None.
        record: whether to return what `step` was given.
        flow: where the backward pass leaves the cotangents of the states, or None.
    """

    cell: Cell
    path: str
    lengths: Tensor | None
    resets: Tensor | None
    record: bool
    flow: Flow | None


class Held(NamedTuple):
    """What the forward pass keeps for the backward pass, besides its inputs: (N, T, B, columns) each.

    Attributes:
        kept: values that the step keeps.
        reads: parts of the state before a step that the adjoint reads.
        fed: the inputs of the recurrent product.
    """

    kept: Tensor
    reads: Tensor
    fed: Tensor

    @classmethod
    def empty(cls, layout: Layout, x: Tensor, H: int, real: torch.dtype) -> "Held":
        """Empty memory for the forward pass over x to fill."""
        N, T, B, _ = x.shape
        widths = (layout.saved, len(layout.reads), len(layout.fed))
        formats = (x.dtype, real, x.dtype)
        made = (x.new_empty(N, T, B, width * H, dtype=of) for width, of in zip(widths, formats, strict=True))
        return cls(*made)


class Packed(NamedTuple):
    """Weights in the order of the kernels.

    Attributes:
        W: (N, I * H, D), or None.
        bias: the biases of the pre-activations that have an input part (N, 1, I * H), or None.
        R: (N, J * H, F * H), or None.
        b: all biases (N, G * H), or None.
        p: vectors (N, V * H).
    """

    W: Tensor | None
    bias: Tensor | None
    R: Tensor | None
    b: Tensor | None
    p: Tensor

    @classmethod
    def of(cls, cell: Cell, layout: Layout, inputs: Inputs, real: torch.dtype) -> "Packed":
        H = inputs.sizes[-1]
        W = None if inputs.W is None else _blocks(inputs.W, cell.input_gates, layout.gates[: layout.inputs])
        R = None if inputs.R is None else _blocks(inputs.R, cell.recurrent_gates, recurrent_gates(layout))
        b = None if inputs.b is None else _blocks(inputs.b, tuple(cell.gates), layout.gates)
        bias = None if b is None or W is None else b[:, None, : layout.inputs * H]
        p = torch.cat(inputs.p, 1).to(real) if inputs.p else inputs.x.new_empty(1, dtype=real)
        return cls(W, bias, R, b, p)


def records(call: Call, layout: Layout, x: Tensor, H: int) -> tuple[Tensor, ...]:
    """Memory for the records, if they are requested: (parts, N, T, B, H) in the order of the cell."""
    counts = (len(layout.gates), len(layout.state)) if call.record else ()
    return tuple(x.new_empty(count, *x.shape[:3], H) for count in counts)


def flows(call: Call, layout: Layout, x: Tensor, H: int) -> Tensor | None:
    """Memory for the derivatives with respect to the states, if they are requested; puts views of it into `flow`."""
    if call.flow is None:
        return None
    flow = x.new_empty(len(layout.state), *x.shape[:3], H)
    call.flow.cotangents = dict(zip(layout.state, flow, strict=True))
    return flow


def recurrent_gates(layout: Layout) -> tuple[str, ...]:
    """The pre-activations that have a recurrent part, in the order of the kernels."""
    return layout.gates[len(layout.gates) - layout.recurrent :]


def project(x: Tensor, packed: Packed, into: Tensor) -> None:
    """W x + b of some steps (N, count, B, columns)."""
    if packed.W is None:
        return
    N, count, B, D = x.shape
    rows, into, W = x.reshape(N, count * B, D), into.flatten(1, 2), packed.W.mT
    if N > 1:
        torch.bmm(rows, W, out=into) if packed.bias is None else torch.baddbmm(packed.bias, rows, W, out=into)
    elif packed.bias is None:
        torch.mm(rows[0], W[0], out=into[0])
    else:
        torch.addmm(packed.bias[0, 0], rows[0], W[0], out=into[0])


def gradients(
    cell: Cell, layout: Layout, inputs: Inputs, fed: Tensor, da: Tensor, wanted: Sequence[bool]
) -> tuple[Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """The gradients of x, W, R and b from those of all pre-activations (N, T, B, G * H)."""
    N, T, B, D, H = inputs.sizes
    flat = da.view(N, T * B, -1)
    to_inputs = flat[..., : layout.inputs * H]
    packed, flags = layout.gates[: layout.inputs], Inputs.back(cell, tuple(wanted))
    dx = dW = dR = db = None
    if inputs.W is None:
        dx = torch.zeros_like(inputs.x) if flags.x else None
    else:
        if flags.x:
            dx = (to_inputs @ _blocks(inputs.W, cell.input_gates, packed)).view(N, T, B, D)
        if flags.W:
            dW = _blocks(to_inputs.mT @ inputs.x.reshape(N, T * B, D), packed, cell.input_gates)
    if flags.R:
        to_recurrent = flat[..., (len(layout.gates) - layout.recurrent) * H :]
        dR = _blocks(to_recurrent.mT @ fed.view(N, T * B, -1), recurrent_gates(layout), cell.recurrent_gates)
    if flags.b:
        db = _blocks(flat.sum(1), layout.gates, tuple(cell.gates))
    return dx, dW, dR, db


def _blocks(weight: Tensor, order: Sequence[str], wanted: Sequence[str]) -> Tensor:
    """The blocks of rows of a weight (N, rows, ...) in another order."""
    if tuple(order) == tuple(wanted):
        return weight
    blocks = dict(zip(order, weight.chunk(len(order), 1), strict=True))
    return torch.cat([blocks[name] for name in wanted], 1)
