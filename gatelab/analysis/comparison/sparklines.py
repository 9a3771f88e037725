"""Curves of one line of text."""

import math
from collections.abc import Iterable, Sequence

from gatelab.analysis.comparison.row import Row
from gatelab.analysis.reading.series import Curve, over_seeds
from gatelab.diagnostics import keys
from gatelab.errors import UserError

BLOCKS = "▁▂▃▄▅▆▇█"
WIDTH = 12


def validation_curves(rows: Iterable[Row]) -> list[Curve]:
    """For each row the validation score over training, mean over its seeds; empty where nothing can be read.

    Args:
        rows: of a `Comparison`.
    """
    curves = []
    for row in rows:
        key = keys.score("val", row.metric)
        series = []
        for run in row.variant.runs:
            try:
                series.append(run.metrics("val").get(key, ([], [])))
            except (UserError, TypeError, ValueError):  # the row says what it can without
                continue
        curves.append(over_seeds(series))
    return curves


def sparklines(curves: Sequence[Curve], width: int = WIDTH) -> list[str]:
    """Every curve as so many blocks, all on the same axes: up to the last step of any, from the least value to the greatest.

    A logarithmic axis where all values are positive and span more than a factor of ten. A block is the last value of its share of
    the steps.
    """
    values = [value for curve in curves for _, value in _points(curve)]
    if not values:
        return ["" for _ in curves]
    log = min(values) > 0 and max(values) > 10 * min(values)
    scale = math.log if log else float
    low, high = scale(min(values)), scale(max(values))
    last = max(int(curve.steps[-1]) for curve in curves if curve.steps.size)
    return [_line([(int(step), scale(value)) for step, value in _points(curve)], low, high, last, width) for curve in curves]


def _points(curve: Curve) -> list[tuple[int, float]]:
    return [(int(step), float(value)) for step, value in zip(curve.steps, curve.mean, strict=True) if math.isfinite(value)]


def _line(points: Sequence[tuple[int, float]], low: float, high: float, last: int, width: int) -> str:
    """One block for each share of the steps; where nothing was recorded, the value before stands on."""
    levels: dict[int, int] = {}
    for step, value in points:
        level = (value - low) / (high - low) if high > low else 0.5
        levels[max(0, math.ceil(width * step / last) - 1)] = min(len(BLOCKS) - 1, int(level * len(BLOCKS)))
    line, held = "", " "
    for place in range(max(levels, default=-1) + 1):
        held = BLOCKS[levels[place]] if place in levels else held
        line += held
    return line
