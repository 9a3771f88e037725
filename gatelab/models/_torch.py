"""Converts to torch's own recurrent modules and back: the equations are the same, names and layout of the weights differ."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from gatelab.cells import Cell
from gatelab.errors import UserError
from gatelab.models._layer import Layer

# Arguments of torch's modules that change the equations, and what to write instead.
_EQUATIONS = {
    "proj_size": "no cell projects its output yet; put a Linear behind the RNN",
    "nonlinearity": "the activation is part of a cell's equations (tanh in 'rnn'); for another one write your own cell",
}


def without_torch_arguments(cell: str | Cell, options: dict[str, object], known: set[str]) -> dict[str, object]:
    """The options of a cell, without arguments of torch's modules whose value is what the cell computes anyway.

    Raises:
        UserError: an argument asks for equations that the cell does not have.
    """
    left = dict(options)
    for name, remedy in _EQUATIONS.items():
        if name in left and name not in known and left.pop(name) not in (0, "tanh"):
            raise UserError(f"RNN: {name}={options[name]!r} is not available for {cell}: {remedy}.")
    return left


def copy_from(module: nn.RNNBase, suffix: str, cell: Cell, layer: Layer) -> None:
    """Copies one layer: torch's blocks have our order, with input and hidden parts separate. Frozen weights stay frozen."""
    W, R = (getattr(module, f"weight_{kind}_{suffix}") for kind in ("ih", "hh"))
    layer.write("W", W)
    layer.write("R", R)
    layer.W.requires_grad_(W.requires_grad)
    layer.R.requires_grad_(R.requires_grad)
    if not module.bias:
        return
    biases = {kind: getattr(module, f"bias_{kind}_{suffix}") for kind in ("ih", "hh")}
    total = torch.zeros_like(layer.read("b"))
    for kind, gates in _bias_gates(cell).items():
        for gate, block in zip(gates, biases[kind].detach().split(module.hidden_size), strict=True):
            _rows(total, cell, gate).add_(block)
    layer.write("b", total)
    layer.b.requires_grad_(any(value.requires_grad for value in biases.values()))


def copy_to(module: nn.RNNBase, suffix: str, cell: Cell, layer: Layer) -> None:
    """Copies one layer to torch: our bias goes to the first of torch's two biases, and the second is 0."""
    with torch.no_grad():
        for name, of in (("W", "ih"), ("R", "hh")):
            weight = getattr(module, f"weight_{of}_{suffix}")
            weight.copy_(layer.read(name))
            weight.requires_grad_(layer.read(name).requires_grad)
        if not module.bias:
            return
        b = layer.read("b")
        given: set[str] = set()
        for kind, gates in _bias_gates(cell).items():
            bias = getattr(module, f"bias_{kind}_{suffix}")
            blocks = [torch.zeros_like(bias[: module.hidden_size]) if gate in given else _rows(b, cell, gate) for gate in gates]
            bias.copy_(torch.cat(blocks))
            bias.requires_grad_(b.requires_grad)
            given |= set(gates)


def padded(packed: PackedSequence, batch_first: bool) -> tuple[Tensor, Tensor]:
    """Sequences and lengths in the order in which they were packed."""
    return pad_packed_sequence(packed, batch_first=batch_first)


def packed_as(output: Tensor, lengths: Tensor, like: PackedSequence, batch_first: bool) -> PackedSequence:
    """The output packed as the input was."""
    if like.sorted_indices is not None:
        output = output.index_select(0 if batch_first else 1, like.sorted_indices)
        lengths = lengths[like.sorted_indices.cpu()]
    data = pack_padded_sequence(output, lengths.cpu(), batch_first=batch_first).data
    return PackedSequence(data, like.batch_sizes, like.sorted_indices, like.unsorted_indices)


def _bias_gates(cell: Cell) -> dict[str, tuple[str, ...]]:
    return {"ih": cell.input_gates, "hh": cell.recurrent_gates}


def _rows(b: Tensor, cell: Cell, gate: str) -> Tensor:
    H = len(b) // len(cell.gates)
    start = list(cell.gates).index(gate) * H
    return b[start : start + H]
