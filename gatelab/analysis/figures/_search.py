"""What a budget of tried settings buys."""

import numpy as np

from gatelab.analysis.figures._model import Axis, Figure, Panel, Problem, Series, spans
from gatelab.analysis.reading.settings import tried_settings
from gatelab.analysis.statistics.budget import budget


def tuning_budget(problem: Problem) -> Figure | None:
    """The expected best validation score against the number of settings tried; nothing without a search."""
    tried = tried_settings(row.variant for row in problem.rows)
    series = []
    for number in problem.one_per_cell:
        own = tried.get(problem.variants[number].row.cell)
        found = None if own is None else budget(own.scores, own.higher_is_better)
        if found is not None:
            n = len(found.best)
            low, high = (np.array(ends, dtype=float) for ends in (found.low, found.high))
            series.append(Series(number, np.arange(1, n + 1), found.best, low, high))
    if not series:
        return None
    row = problem.scored
    log = spans([item.y for item in series]) and not row.higher_is_better
    direction = "higher" if row.higher_is_better else "lower"
    x = Axis("settings tried", log=max(np.size(item.x) for item in series) > 16)
    panel = Panel("", x, Axis(f"expected best validation {row.metric} ({direction} is better)", log), series)
    caption = (
        "Validation score of the best of k settings, on average over all sets of k settings that each cell was tried with "
        "(Dodge et al. 2019, without replacement). Band: its pointwise 95% interval by a bootstrap over the settings, with the "
        "same resamples for all cells; only from two settings up to an eighth of all, since elsewhere it does not cover. A "
        "diverged run counts as chance. Settings of a grid count as if they were tried in random order."
    )
    return Figure("tuning-budget", "Tuning budget", caption, "lines", [panel], wide=True)
