"""Whether scores scatter around one value, as Student's t assumes: what samples show against it, in words."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gatelab.analysis.statistics.intervals import varies
from gatelab.analysis.statistics.scales import LINEAR, Axis

_FEWEST = 5  # scores for a gap to mean something
_STAYED = 0.1  # of the way from chance to solved: a run that has not come further stays at chance


def degenerate(scores: NDArray[np.float64], axis: Axis = LINEAR) -> str:
    """Why one sample has no variance that could be compared with others, or "": a run diverged, or all scores are the same.

    Args:
        scores: (n,), one a seed.
        axis: the scale of the score.
    """
    failed = int((~np.isfinite(scores)).sum())
    if failed:
        return f"{failed} of {scores.size} runs diverged"
    y = axis.forward(scores)
    if y.size > 1 and not varies(float(y.var(ddof=1)), *map(float, y)):
        return f"all {y.size} scores are the same"
    return ""


def clusters(
    samples: Sequence[NDArray[np.float64]],
    axis: Axis = LINEAR,
    higher_is_better: bool = False,
    chance: float | None = None,
    solved: float | None = None,
) -> str:
    """What in the runs of one task speaks for two clusters of scores, or "".

    Some runs solve the task while others stay at chance (within a tenth of the way, on the scale), of whatever variant: that all
    runs of one variant are of one kind proves nothing where runs are few. Or, in a sample of five or more scores, the widest gap g
    between neighbours exceeds 7 / (n - 4)^0.8 times the rest of the range, which normal scores do in at most 0.9% of the samples of
    5 to 20 (100,000 each).

    Not all clusters show: five runs that solve a task with a probability of .9 all do so in 59% of the cases. That is why a task
    declares the shape of its score.

    Args:
        samples: (n,) each, the scores of the variants; those that are not finite are left out.
        axis: the scale of the score; `higher_is_better` its direction; `chance`, `solved`: its levels, if they are known.
    """
    sign = 1.0 if higher_is_better else -1.0
    places = [np.sort(sign * axis.forward(scores[np.isfinite(scores)])) for scores in samples]
    if chance is not None and solved is not None:
        low, high = (sign * float(axis.forward(level)) for level in (chance, solved))
        every = np.concatenate(places)
        reached, stayed = int((every >= high).sum()), int((every <= low + _STAYED * (high - low)).sum())
        if reached and stayed:
            return f"{reached} of {every.size} runs solve the task and {stayed} stay at chance"
    for y in places:
        gaps = np.diff(y)
        if y.size >= _FEWEST:
            place = int(gaps.argmax())
            if gaps[place] > 7 / (y.size - 4) ** 0.8 * (y[-1] - y[0] - gaps[place]):
                return f"the scores of a variant form two groups, of {place + 1} and {y.size - place - 1} runs"
    return ""
