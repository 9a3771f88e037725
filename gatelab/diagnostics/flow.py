"""How far gradients reach back in time, from dL/ds(t) of all steps. Pure functions of tensors.

The lag of step t is T - t in a row of T valid steps: the number of steps between it and the last.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from gatelab.diagnostics.gates import alive
from gatelab.diagnostics.timescales import by_lag

WHOLE = "state"  # all parts of the state as one vector


def norms(cotangents: Mapping[str, Tensor], lengths: Tensor | None) -> dict[str, Tensor]:
    """||dL/ds(t)||_2 over the units in the order of the lag, (T, B) for each part, and for the whole state.

    Args:
        cotangents: dL/ds(t) by part, (T, B, H) each, its parts independent of each other. So dL/dc is 0 at lag 0, where only h
            is read, in a cell whose output is h.
        lengths: valid steps of each row (B,), or None if all are.
    """
    single = {name: by_lag(value.norm(dim=-1), lengths) for name, value in cotangents.items()}
    return single | {WHOLE: torch.stack(list(single.values())).norm(dim=0)}


def curve(by_row: Tensor, lengths: Tensor | None) -> Tensor:
    """E||dL/ds(T - lag)|| over the rows that are long enough, (T,); nan where none is."""
    if lengths is None:
        return by_row.mean(1)
    kept = alive(len(by_row), lengths)
    return torch.where(kept, by_row, 0).sum(1) / kept.sum(1)


def ratios(by_row: Tensor, lengths: Tensor | None) -> Tensor:
    """||dL/ds(t)|| / ||dL/ds(t+1)||, (T-1, B); nan without such a step, or without a norm to divide by.

    For a loss at the end, the whole state and the top layer it is the ratio of Pascanu, Mikolov & Bengio 2013, eq. 9-10; elsewhere
    it includes what enters at step t itself, from the loss or the layer above.
    """
    later, earlier = by_row[:-1], by_row[1:]
    known = later > 0
    if lengths is not None:
        known = known & alive(len(by_row), lengths)[1:]
    return torch.where(known, earlier / later, math.nan)


def omega(ratios: Tensor) -> float:
    """sum_t (ratio(t) - 1)^2, mean over rows (Pascanu, Mikolov & Bengio 2013, Sec. 3.3); 0: norms are preserved."""
    return (ratios - 1).square().nansum(0).mean().item()
