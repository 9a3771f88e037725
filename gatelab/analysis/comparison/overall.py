"""Variants over all tasks together, on the scale on which 0 is chance and 1 is solved."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gatelab.analysis.comparison.row import Row
from gatelab.analysis.reading.option_values import OptionValues
from gatelab.analysis.statistics.intervals import interquartile_mean, normalised
from gatelab.analysis.statistics.ranks import Chances, average_ranks, signed_rank_chances

ALIKE = 0.05  # of the way from chance to solved: variants that are closer are as good as each other


@dataclass(frozen=True)
class Overall:
    """One variant over all tasks.

    Attributes:
        cell, options: as in `Row`.
        tasks: how many; `n`: their runs together, diverged ones as the worst.
        iqm, mean: of the normalised scores; the mean is -inf when a run diverged. Without intervals: a bootstrap of the seeds
            within each task covers .68, .81 and .89 for 2, 3 and 5 seeds of two tasks with normal scores, where it says .95.
        rank: mean over the tasks of the rank of its median score, 1 the best; `critical`: ranks that are further apart differ, None
            for fewer than five tasks.
        scores: for each task the normalised scores of its runs, as `performance_profile` takes them.
        chances: against the baseline; None for the baseline itself and without one.
    """

    cell: str
    options: OptionValues
    tasks: int
    n: int
    iqm: float
    mean: float
    scores: tuple[NDArray, ...]
    rank: float = math.nan
    critical: float | None = None
    chances: Chances | None = None

    @property
    def medians(self) -> NDArray:
        """The median score on each task (tasks,)."""
        return np.array([np.median(scores) for scores in self.scores])


def overall(rows: Iterable[Row], baseline: str | None = None) -> list[Overall]:
    """Every variant that has a result on every task, the best IQM first.

    Args:
        rows: of a comparison.
        baseline: the cell that the others are compared with over the tasks, if it has one variant here.

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
    return sorted(_compared(made, baseline), key=lambda item: (-item.iqm, item.cell, item.options))


def _compared(found: list[Overall], baseline: str | None) -> list[Overall]:
    """The same with their ranks, and with their chances against the baseline."""
    if not found:
        return []
    ranks, critical = average_ranks(np.stack([item.medians for item in found], axis=1))
    rivals = [item for item in found if item.cell == baseline]
    made = []
    for item, rank in zip(found, ranks, strict=True):
        chances = None
        if len(rivals) == 1 and item is not rivals[0]:
            with np.errstate(invalid="ignore"):
                apart = np.nan_to_num(item.medians - rivals[0].medians, nan=0.0, posinf=math.inf, neginf=-math.inf)  # both diverged
            chances = signed_rank_chances(apart, ALIKE)
        made.append(dataclasses.replace(item, rank=float(rank), critical=critical, chances=chances))
    return made


def _normalised(row: Row) -> NDArray:
    assert row.chance is not None and row.solved is not None
    return normalised(row.scores, row.chance, row.solved, row.higher_is_better)
