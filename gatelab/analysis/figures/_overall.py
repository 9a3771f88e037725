"""All tasks together, on the scale on which 0 is chance and 1 is solved."""

import itertools
from collections.abc import Sequence

import numpy as np

from gatelab.analysis.comparison.overall import Overall
from gatelab.analysis.comparison.overall import overall as over_tasks
from gatelab.analysis.figures._model import Axis, Figure, Panel, Problem, Series
from gatelab.analysis.statistics.intervals import performance_profile

_SCALE = "normalised score (0 chance, 1 solved)"
_THRESHOLDS = np.linspace(0, 1.2, 61)


def together(problems: Sequence[Problem]) -> Problem:
    """The problems as one, with every variant as it is drawn on the first task that has it."""
    variants = {}
    for variant in (variant for problem in problems for variant in problem.variants):
        variants.setdefault((variant.row.cell, variant.row.options), variant)
    rows = list(itertools.chain.from_iterable(problem.rows for problem in problems))
    return Problem(len(problems), "All tasks together", list(variants.values()), [], rows)


def overall(problem: Problem) -> Figure | None:
    """Interquartile mean over all tasks; nothing for a single one."""
    series, names = [], []
    for number, item in _drawn(problem):
        series.append(Series(number, [item.iqm], [len(names)], [item.iqm], [item.iqm], note=f"{item.iqm:.2f}"))
        names.append(problem.variants[number].name)
    panel = Panel("", Axis(_SCALE), Axis("", categories=names), series, {"chance": 0.0, "solved": 1.0})
    caption = "Interquartile mean of the runs of all tasks, each on the scale from chance to solved (Agarwal et al. 2021)."
    return Figure("overall", "Interquartile mean over the tasks", caption, "ranges", [panel], wide=True) if series else None


def profiles(problem: Problem) -> Figure | None:
    """Performance profiles over all tasks; nothing for a single one."""
    series = []
    for number, item in _drawn(problem):
        profile = performance_profile(item.scores, _THRESHOLDS)
        series.append(Series(number, profile.thresholds, profile.share, profile.low, profile.high))
    panel = Panel("", Axis(_SCALE), Axis("share of runs above", domain=(0, 1)), series)
    caption = (
        "Share of the runs, every task weighing the same, whose score lies above each level, with an exact pointwise 95% band. "
        "What lies higher everywhere is better, wherever one draws the line."
    )
    return Figure("profiles", "Performance profiles", caption, "lines", [panel], wide=True) if series else None


def _drawn(problem: Problem) -> list[tuple[int, Overall]]:
    numbers = {(variant.row.cell, variant.row.options): number for number, variant in enumerate(problem.variants)}
    every = over_tasks(problem.rows)
    return [(numbers[item.cell, item.options], item) for item in every if (item.cell, item.options) in numbers]
