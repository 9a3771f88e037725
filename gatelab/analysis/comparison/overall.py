"""Variants over all tasks together, on the scale on which 0 is chance and 1 is solved."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gatelab.analysis.comparison.row import Row
from gatelab.analysis.reading.option_values import OptionValues
from gatelab.analysis.statistics.intervals import interquartile_mean, normalised


@dataclass(frozen=True)
class Overall:
    """One variant over all tasks.

    Attributes:
        cell, options: as in `Row`.
        tasks: how many; `n`: their runs together, diverged ones as the worst.
        iqm, mean: of the normalised scores; the mean is -inf when a run diverged. Without intervals: a bootstrap of the seeds
            within each task covers .68, .81 and .89 for 2, 3 and 5 seeds of two tasks with normal scores, where it says .95.
        scores: for each task the normalised scores of its runs, as `performance_profile` takes them.
    """

    cell: str
    options: OptionValues
    tasks: int
    n: int
    iqm: float
    mean: float
    scores: tuple[NDArray, ...]


def overall(rows: Iterable[Row]) -> list[Overall]:
    """Every variant that has a result on every task, the best IQM first.

    Args:
        rows: of a comparison.

    Returns:
        Nothing for a single task, or where a task names no levels of chance and solved.
    """
    rows = list(rows)
    problems = {row.problem for row in rows}
    by_variant: dict[tuple[str, OptionValues], list[Row]] = defaultdict(list)
    for row in rows:
        if row.n and row.chance is not None and row.solved is not None and row.chance != row.solved:
            by_variant[row.cell, row.options].append(row)
    made = []
    for (cell, options), members in by_variant.items():
        if len(members) == len(problems) > 1:
            scores = tuple(_normalised(row) for row in members)
            pooled = np.concatenate(scores)
            iqm, mean = interquartile_mean(pooled), float(pooled.mean())
            made.append(Overall(cell, options, len(members), sum(row.n for row in members), iqm, mean, scores))
    return sorted(made, key=lambda item: (-item.iqm, item.cell, item.options))


def _normalised(row: Row) -> NDArray:
    assert row.chance is not None and row.solved is not None
    return normalised(row.scores, row.chance, row.solved, row.higher_is_better)
