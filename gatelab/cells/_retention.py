"""Which bias decides how much of its old state a unit keeps."""

import functools

import torch

from gatelab.cells._cell import Cell, Parts
from gatelab.cells._check import undisturbed

_DRAWS = 64


@functools.lru_cache(maxsize=1024)
def keeping(cell: Cell) -> tuple[str, int] | None:
    """The pre-activation that the retention gate is a sigmoid of, found by running `step` on random data.

    Whether the gate keeps or writes follows from the equations: with h = z . h + (1 - z) . n it is sigmoid(a_z), with
    h = (1 - z) . h + z . n, where 1 - z is the retention gate, sigmoid(-a_z).

    Args:
        cell: checked.

    Returns:
        The pre-activation, and the sign s of `retention = sigmoid(s a)` where the state is 0. None where the cell has no such gate,
        or the gate is another function: of several pre-activations, or of a parameter.
    """
    draws = torch.Generator().manual_seed(0)
    with undisturbed():
        a, p = (
            {name: torch.randn(_DRAWS, generator=draws, dtype=torch.float64) for name in names}
            for names in (cell.gates, cell.vectors)
        )
        s = dict.fromkeys(cell.state, torch.zeros(_DRAWS, dtype=torch.float64))
        _, gates = cell.step(*(Parts(**part) for part in (a, s, p)))
        kept = gates.get(cell.retention)
        for name, value in a.items():
            for sign in (1, -1):
                if kept is not None and torch.allclose(kept, torch.sigmoid(sign * value)):
                    return name, sign
    return None
