"""Which runs have learnt their task at all: what a model at chance does inside says nothing about its cell."""

import math
from collections.abc import Sequence

from gatelab.analysis.reading.results import Result
from gatelab.analysis.statistics.intervals import mean_interval, quantile
from gatelab.runs import Run

LEVEL = 0.95


def learnt_runs(results: Sequence[Result]) -> list[Run]:
    """The runs of one variant that have learnt something, in the order of the results.

    A run has learnt if its test score is better than chance by more than the sampling of the test split explains (the worse end of
    its 95% interval, Student's t over the parts of the split, is still better), and better than the constant predictor on that
    split. Where a run does not record what the test split does to its score, it must have solved the task, or the interval of the
    mean over the seeds must exclude chance.

    Args:
        results: of the finished and diverged runs of one variant.
    """
    over_seeds = mean_interval([result.score for result in results], LEVEL) if results else None
    found = []
    for result in results:
        sign = 1 if result.higher_is_better else -1
        levels = [level for level in (result.chance, result.constant) if level is not None]
        if not math.isfinite(result.score) or any(sign * (result.score - level) <= 0 for level in levels):
            continue
        if result.chance is None:
            found.append(result.run)
            continue
        solved = result.solved is not None and sign * (result.score - result.solved) >= 0
        if result.test_error is not None and result.test_parts is not None and result.test_parts > 1:
            worst = result.score - sign * quantile(result.test_parts - 1, LEVEL) * result.test_error
        elif solved:
            worst = result.score
        else:
            worst = (over_seeds.low if sign > 0 else over_seeds.high) if over_seeds is not None else None
        if worst is not None and sign * (worst - result.chance) > 0:
            found.append(result.run)
    return found
