"""Cells that torch has, too, computed by torch's own functions: cuDNN on a CUDA device."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gatelab.cells import Cell
from gatelab.kernels._inputs import Inputs

_FUNCTIONS: dict[type[nn.RNNBase], Callable[..., Any]] = {
    nn.LSTM: torch._VF.lstm,  # type: ignore[attr-defined]
    nn.GRU: torch._VF.gru,  # type: ignore[attr-defined]
    nn.RNN: torch._VF.rnn_tanh,  # type: ignore[attr-defined]
}


def has_peer(cell: Cell) -> bool:
    """Whether torch computes the same equations."""
    return cell.peer in _FUNCTIONS


def forward(cell: Cell, inputs: Inputs, train: bool) -> tuple[Tensor, ...]:
    """Output and last states of one replica of a cell that has a peer; autograd computes the gradients."""
    assert cell.peer is not None and inputs.W is not None and inputs.R is not None
    parts = [inputs.W[0], inputs.R[0]]
    if inputs.b is not None:
        parts += [_bias(cell, inputs.b[0], cell.input_gates, ()), _bias(cell, inputs.b[0], cell.recurrent_gates, cell.input_gates)]
    # In one piece, as cuDNN needs them: otherwise it copies them itself and warns about it.
    whole = torch.cat([part.reshape(-1) for part in parts])
    weights = [piece.view(part.shape) for piece, part in zip(whole.split([part.numel() for part in parts]), parts, strict=True)]
    hidden = inputs.s0 if len(cell.state) > 1 else inputs.s0[0]
    out, *last = _FUNCTIONS[cell.peer](inputs.x[0], hidden, weights, inputs.b is not None, 1, 0.0, train, False, False)
    return (out[None], *last)


def _bias(cell: Cell, b: Tensor, gates: tuple[str, ...], elsewhere: tuple[str, ...]) -> Tensor:
    """The biases of some pre-activations: torch has one for each product, of which the other one is 0."""
    blocks = dict(zip(cell.gates, b.chunk(len(cell.gates)), strict=True))
    return torch.cat([torch.zeros_like(blocks[name]) if name in elsewhere else blocks[name] for name in gates])
