"""Who solves the task, and when."""

import numpy as np

from gatelab.analysis.figures._model import Axis, Figure, Panel, Problem, Series, spans
from gatelab.analysis.reading.solving import UNITS


def time_to_solve(problem: Problem) -> Figure | None:
    """The share of runs that have solved the task against time; nothing where no run does."""
    shown = [(number, found) for number, variant in enumerate(problem.variants) if (found := variant.row.solving) is not None]
    reached = [t for _, found in shown for t, s in zip(found.read.times, found.read.solved, strict=True) if s]
    if not reached:
        return None
    log = spans([reached])
    start = min(min(found.read.times) for _, found in shown) / 2 if log else 0.0  # a logarithmic axis has no 0
    series = []
    for number, found in shown:
        curve, end = found.curve, max(*found.read.times, found.read.budget)
        x, y, low, high = (np.append(values, values[-1]) for values in (curve.times, curve.share, curve.low, curve.high))
        x[0], x[-1] = start, end
        low[y == 0] = high[y == 0] = np.nan  # bands of all variants would hide the lines
        series.append(Series(number, x, y, low, high, np.unique(curve.censored)))
    read = shown[0][1].read
    panel = Panel("", Axis(UNITS[read.unit], log), Axis("share solved", domain=(0, 1)), series)
    caption = (
        f"Share of the runs whose validation score has reached {read.level:.4g} (Kaplan and Meier 1958). Band, from the first such "
        "run on: its pointwise 95% interval, for any number of runs (Fay et al. 2013). Ticks: runs that ended unsolved."
    )
    return Figure("time-to-solve", "Time to solve", caption, "steps", [panel], wide=True)
