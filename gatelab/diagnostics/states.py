"""Norms of states and their growth. Pure functions of tensors."""

import math

from torch import Tensor

from gatelab.diagnostics.gates import alive


def norms(values: Tensor) -> Tensor:
    """||s(t)||_2 over the units, (T, B) from (T, B, H)."""
    return values.norm(dim=-1)


def mean(by_row: Tensor, lengths: Tensor | None) -> float:
    """Mean over the valid steps of all rows, of (T, B)."""
    return (by_row if lengths is None else by_row[alive(len(by_row), lengths)]).mean().item()


def growth(profile: Tensor, steps: float) -> float:
    """Least-squares slope of a profile over the position, per step; nan with less than two positions.

    A cell that cannot forget grows linearly along a stream (Gers, Schmidhuber & Cummins 2000, Sec. 2).

    Args:
        profile: (P,), means in equal bins of the position.
        steps: width of a bin.
    """
    used = profile.isfinite().nonzero().squeeze(1)
    if len(used) < 2:
        return math.nan
    place = used.double() - used.double().mean()
    return ((place @ profile[used].double()) / (place @ place) / steps).item()
