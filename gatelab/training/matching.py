"""The hidden size with which a cell is as large, or as costly, as another one: `model.match`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from gatelab.cells import CELLS, Cell, parameter_count
from gatelab.diagnostics.cost import stack_flops_per_step
from gatelab.runs.matched import Matched

if TYPE_CHECKING:
    from gatelab.training.spec import Spec


def nearest(count: Callable[[int], int], wanted: int) -> tuple[int, float]:
    """The hidden size whose count is the nearest to the wanted one, the smaller of two.

    Args:
        count: grows with the hidden size.
        wanted: above 0.

    Returns:
        The size, and by which share of what was wanted its count is larger.
    """
    above = 1
    while count(above) < wanted:
        above *= 2
    low, high = above // 2, above
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < wanted else (low, middle)
    best = min((max(low, 1), high), key=lambda size: abs(count(size) - wanted))
    return best, count(best) / wanted - 1


def matched(spec: "Spec") -> Matched | None:
    """The size of the model of a run that has as many parameters, or FLOPs, as one of the cell `match_to` with `hidden_size`.

    Both counts include the head, as in the summary of a run.

    Returns:
        None where `match` asks for neither.

    Raises:
        UserError: the cell does not exist.
    """
    shape = spec.config.model
    if shape.match == "units":
        return None
    count, reference = _COUNTS[shape.match], CELLS.build(shape.match_to)
    heads = spec.cell.head_count  # which the hidden size is a multiple of
    each, off = nearest(lambda H: count(spec, spec.cell, heads * H), count(spec, reference, shape.hidden_size))
    size = heads * each
    return Matched(shape.match, shape.match_to, size, off)


def _parameters(spec: "Spec", cell: Cell, H: int) -> int:
    shape, task = spec.config.model, spec.task
    width = shape.directions * cell.output_size(H)
    inputs = [task.input_size] + [width] * (shape.num_layers - 1)
    recurrent = sum(shape.directions * parameter_count(cell, D, H, shape.bias) for D in inputs)
    return recurrent + (width + 1) * task.output_size


def _flops(spec: "Spec", cell: Cell, H: int) -> int:
    shape, task = spec.config.model, spec.task
    heads = task.output_size if task.readout == "all" else 0
    return stack_flops_per_step(cell, task.input_size, H, shape.num_layers, shape.directions, heads, spec.length)


_COUNTS = {"parameters": _parameters, "flops": _flops}
