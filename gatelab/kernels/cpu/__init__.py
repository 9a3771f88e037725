"""The time loop in C, generated from the equations of a cell."""

import torch

from gatelab.cells import Cell
from gatelab.registry import UserError


def source(cell: Cell, dtype: torch.dtype) -> str:
    """The C of a cell's time loop, forward and backward.

    Raises:
        UserError: the cell cannot be printed as C.
    """
    raise UserError(f"{type(cell).__name__} in {dtype} cannot be printed: there is no generator yet.")
