"""The cost of a cell, derived from its declarations."""

import functools
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from gatelab.cells import Attention, Cell, by_position, parameter_count, reads_of, without_weights
from gatelab.models import SequenceModel


def parameter_formula(cell: Cell, bias: bool = True) -> str:
    """Parameters of one layer and direction as a polynomial in D and H: "4HD + 4H^2 + 4H".

    For a cell that reads the input itself it holds where D differs from H; where they are equal, nothing is projected.
    """
    scalars, k = len(cell.scalars), cell.head_count
    # The count is a HD + b H^2 + c H, so that three values determine it, here of D where H is k, k and 2 k.
    first, second, third = (
        Fraction(parameter_count(cell, D, H, bias) - scalars, H) for D, H in ((2 * k + 1, k), (2 * k + 2, k), (2 * k + 1, 2 * k))
    )
    a, b = second - first, (third - first) / k
    c = first - a * (2 * k + 1) - b * k
    terms = [_term(factor, of) for factor, of in ((a, "HD"), (b, "H^2"), (c, "H")) if factor]
    return " + ".join([*terms, *([str(scalars)] if scalars else [])]) or "0"


def _term(factor: Fraction, of: str) -> str:
    above, below = factor.as_integer_ratio()
    return f"{above if above > 1 else ''}{of}{f'/{below}' if below > 1 else ''}"


@functools.lru_cache(maxsize=1024)
def pointwise_operators(cell: Cell) -> int:
    """Pointwise operators of one step and unit on which the new state depends; what is computed twice counts once."""
    names, step = by_position(cell)
    values = [torch.zeros(1, device="cpu") for _ in names]
    with torch.no_grad(), _Calls() as calls:
        state = step(*values)
    return calls.needed(state)


class _Calls(TorchDispatchMode):
    """Notes which tensors each operator reads and returns."""

    def __init__(self) -> None:
        super().__init__()
        self._results: dict[tuple[Any, str], Any] = {}
        self._calls: list[tuple[list[Tensor], list[Tensor]]] = []  # it also keeps the tensors alive, and with them their ids

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # otherwise torch imports its compiler, which takes a second, only to exclude `__torch_dispatch__` from it

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        spoken = repr(tree_map(lambda leaf: id(leaf) if isinstance(leaf, Tensor) else leaf, (args, kwargs)))
        if (func, spoken) in self._results:
            return self._results[func, spoken]
        result = self._results[func, spoken] = func(*args, **(kwargs or {}))
        read, made = ([leaf for leaf in tree_leaves(of) if isinstance(leaf, Tensor)] for of in ((args, kwargs), result))
        self._calls.append((read, made))
        return result

    def needed(self, results: Sequence[Tensor]) -> int:
        """The number of calls on which these tensors depend."""
        wanted, count = {id(value) for value in results}, 0
        for read, made in reversed(self._calls):
            if any(id(value) in wanted for value in made):
                wanted |= {id(value) for value in read}
                count += 1
        return count


def flops_per_step(cell: Cell, input_size: int, hidden_size: int, length: int = 1) -> int:
    """Floating-point operations of one forward step for one sequence: products, pointwise part and the read of the memory.

    A multiplication and an addition count as two, every other operator, tanh included, as one.

    Args:
        length: steps on the tape of a cell with memory; at most its window is read.
    """
    D, H = input_size, hidden_size
    products = _input_matrices(cell, D, H) * H * D + _square_matrices(cell) * H * H // cell.head_count
    total = 2 * products + pointwise_operators(cell) * H
    return total + (_read_flops(cell.memory, len(cell.state), D, H, length) if cell.memory is not None else 0)


def model_flops_per_step(model: SequenceModel, length: int) -> int:
    """Floating-point operations of a whole model for one time step of one sequence, forward, mean over the steps.

    The sum of `flops_per_step` of every layer and direction, and the product of the head if every step has one.

    Args:
        length: T, which determines how much a cell with memory reads: step t reads min(t, window) entries.
    """
    rnn, heads = model.rnn, model.head.out_features if model.readout == "all" else 0
    return stack_flops_per_step(rnn.cell, rnn.input_size, rnn.hidden_size, rnn.num_layers, rnn.num_directions, heads, length)


def stack_flops_per_step(
    cell: Cell, input_size: int, hidden_size: int, layers: int, directions: int, heads: int = 0, length: int = 1
) -> int:
    """As `model_flops_per_step`, of a model that need not be made.

    Args:
        heads: outputs of a head on every step; 0 where it stands on the last state alone.
        length: T.
    """
    width = directions * cell.output_size(hidden_size)
    entries = round(_entries_read(cell.memory, length) / length)
    total = directions * sum(flops_per_step(cell, D, hidden_size, entries) for D in [input_size, *[width] * (layers - 1)])
    return total + 2 * width * heads


def training_flops(cell: Cell, B: int, T: int, D: int, H: int) -> int:
    """Floating-point operations of the products of one training step, what `gatelab bench` divides by.

    With I matrices (H, D), J row blocks in R and F parts fed back, a multiplication and an addition counted as two; matrices (H, H)
    of late pre-activations count as further blocks of R:

    ```
    forward     2 B T (I H D + J F H H)
    backward    2 B T (J F H H + I H D + J F H H)      gradient of the state, of W and of R; none of the input
    ```

    The read of a cell with memory adds its three products (K and P as R, Q as W) and, for every entry that is read, the score
    and the weighted sum once forward and twice backward. Pointwise operators are left out.
    """
    inputs = _input_matrices(cell, D, H) * H * D
    recurrent = _square_matrices(cell) * H * H // cell.head_count
    total = 2 * B * T * (2 * inputs + 3 * recurrent)
    if cell.memory is None:
        return total
    entries = _entries_read(cell.memory, T)
    return total + 2 * B * T * (2 * H * D + 3 * 2 * H * H) + 3 * B * entries * (2 * H + 2 * len(cell.state) * H)


def _input_matrices(cell: Cell, D: int, H: int) -> int:
    """Matrices (H, D): the blocks of W, and the projections of the input itself where it has another width."""
    return len(cell.weighted_gates) + (len(without_weights(cell, "raw")) if D != H else 0)


def _square_matrices(cell: Cell) -> int:
    """Matrices (H, H): of R, and of late pre-activations one for each name that they read."""
    return len(cell.recurrent_gates) * len(cell.fed_back) + sum(len(reads_of(cell, name)) for name in cell.late)


def _entries_read(memory: Attention | None, T: int) -> int:
    """Entries of the tape that all steps together read: step t reads min(t, window)."""
    window = T if memory is None or memory.window is None else min(memory.window, T)
    return window * (window + 1) // 2 + window * (T - window)


def _read_flops(memory: Attention, parts: int, D: int, H: int, length: int) -> int:
    """The key of the new state, the query, and for every entry its score and its share of the sum."""
    entries = min(length, memory.window) if memory.window is not None else length
    score = 4 * H if memory.score == "additive" else 2 * H
    return 2 * (2 * H * H + H * D) + entries * (score + 2 * parts * H)
