"""What the time loop computes with: tensors of its shapes, made from the parameters of a layer."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from gatelab.cells._constraint import constrained
from gatelab.cells._late import reads_of

if TYPE_CHECKING:
    from torch import Tensor

    from gatelab.cells._cell import Cell


def without_weights(cell: "Cell", *kinds: str) -> tuple[str, ...]:
    """The pre-activations that are the input itself ("raw") or the time that has passed ("time"); without arguments, both."""
    return tuple(name for name, kind in cell.sources.items() if kind in (kinds or ("raw", "time")))


def operand_shapes(cell: "Cell", columns: int, hidden_size: int, bias: bool = True) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that the time loop computes with, in the order of `cell.shapes`.

    They differ from the parameters in what `operands` makes of them.

    Args:
        cell: the equations.
        columns: of the input of the loop: D, and one more for the time if the cell reads it.
        hidden_size: H.
        bias: whether there is one.
    """
    E, H = columns, hidden_size
    shapes: dict[str, tuple[int, ...]] = {}
    if cell.input_gates:
        shapes["W"] = (len(cell.input_gates) * H, E)
    if cell.recurrent_gates:
        shapes["R"] = (len(cell.recurrent_gates) * H, len(cell.fed_back) * H)
    shapes |= {f"R_{name}": (H, len(reads_of(cell, name)) * H) for name in cell.late}
    if bias:
        shapes["b"] = (len(cell.gates) * H,)
    shapes |= dict.fromkeys(cell.vectors, (H,))
    if cell.memory is not None:
        shapes |= {f"memory_{name}": shape for name, shape in cell.memory.parameters(E, H).items()}
    return shapes


def operands(cell: "Cell", parameters: "Mapping[str, Tensor]", input_size: int, hidden_size: int) -> "dict[str, Tensor]":
    """The tensors of `operand_shapes`, from the parameters of `cell.shapes`.

    Recurrent matrices of a cell with heads have zeros outside of the blocks that are their parameters. A matrix with a constraint
    is computed from its parameter, and a scalar is one number a unit. A pre-activation without weights
    has rows in W that are never learnt: the identity for the input, ones in the last column for the time. Its bias is 0, as that of
    the product of an earlier input.
    """
    made = {name: constrained(cell, name, value) for name, value in parameters.items()} if cell.constraint else dict(parameters)
    made |= {name: made[name].expand(hidden_size) for name in cell.scalars}
    if cell.head_count > 1:
        made |= {
            name: _with_blocks(value, cell.head_count, hidden_size) for name, value in made.items() if _is_recurrent(cell, name)
        }
    if without_weights(cell):
        made = _with_constant_rows(cell, made, input_size, hidden_size)
    if "b" in made and len(cell.biased_gates) < len(cell.gates):
        biases = dict(zip(cell.biased_gates, made["b"].split(hidden_size), strict=True))
        zero = made["b"].new_zeros(hidden_size)
        made["b"] = torch.cat([biases.get(name, zero) for name in cell.gates])
    return made


def _is_recurrent(cell: "Cell", name: str) -> bool:
    return name == "R" or name.removeprefix("R_") in cell.late


def _with_blocks(value: "Tensor", heads: int, H: int) -> "Tensor":
    """(J*H, F*H) with a block (H/heads, H/heads) for each head on the diagonals of its J x F squares, from (J*H, F*H/heads)."""
    each = H // heads
    blocks = value.view(-1, heads, each, value.shape[1] // each, 1, each)
    of_head = torch.eye(heads, dtype=value.dtype, device=value.device).view(1, heads, 1, 1, heads, 1)
    return (blocks * of_head).reshape(len(value), -1)


def _with_constant_rows(cell: "Cell", made: "dict[str, Tensor]", D: int, H: int) -> "dict[str, Tensor]":
    like = next(iter(made.values()))
    blocks = dict(zip(cell.weighted_gates, made["W"].split(H), strict=True)) if cell.weighted_gates else {}
    for name in without_weights(cell, "raw"):
        blocks[name] = made.pop(f"W_{name}") if D != H else torch.eye(H, dtype=like.dtype, device=like.device)
    for name in without_weights(cell, "time"):
        blocks[name] = like.new_zeros(H, D)
    W = torch.cat([blocks[name] for name in cell.input_gates])
    if cell.timed:
        shares = [float(cell.sources.get(name) == "time") for name in cell.input_gates]
        W = torch.cat([W, torch.cat([like.new_full((H, 1), share) for share in shares])], 1)
        if "memory_Q" in made:  # the read of earlier states does not look at the time
            made["memory_Q"] = torch.cat([made["memory_Q"], like.new_zeros(H, 1)], 1)
    made["W"] = W
    return made
