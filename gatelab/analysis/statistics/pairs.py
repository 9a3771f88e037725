"""All pairs of several samples at once: which means differ, when the pair is chosen after a look at them."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from gatelab.analysis.statistics.intervals import moments, varies


def pair_p(a: ArrayLike, b: ArrayLike, samples: int) -> float | None:
    """The two-sided p-value of mean(a) = mean(b), adjusted over all pairs of so many samples (Games and Howell).

    q = |d| / sqrt((v_a + v_b) / 2),  v = s^2 / n, against the studentised range of `samples` means with Welch's degrees of freedom
    nu = (v_a + v_b)^2 / (v_a^2 / (n_a - 1) + v_b^2 / (n_b - 1)). Variances may differ. It holds for the pair that looks most
    different: of 600 simulated cases in which nothing differs, 2 to 6% have a pair with p < 0.05 (2, 5 and 10 normal samples of 3
    and 5, standard deviations equal or up to 20 times as large).

    Args:
        a: (n_a,), values of one sample.
        b: (n_b,), values of another.
        samples: how many there are, at least 2.

    Returns:
        None where a sample has a single value or one that is not finite, or where neither varies: zero variance decides nothing.

    References:
        P. A. Games, J. F. Howell, "Pairwise multiple comparison procedures with unequal n's and/or variances", Journal of
        Educational Statistics 1, 1976.
    """
    (mean, variance, n), (other, other_variance, m) = moments(a), moments(b)
    if variance is None or other_variance is None or not math.isfinite(mean - other):
        return None
    v, w = variance / n, other_variance / m
    if not varies(v + w, mean, other):
        return None
    degrees = (v + w) ** 2 / (v**2 / (n - 1) + w**2 / (m - 1))
    return float(stats.studentized_range.sf(abs(mean - other) / math.sqrt((v + w) / 2), samples, degrees))


def ahead_of(samples: Sequence[Sequence[float] | NDArray[np.float64]], level: float) -> list[int]:
    """The samples that the one with the largest median is ahead of.

    Args:
        samples: (n,) each, of the same quantity.
        level: confidence that none of these is wrong.

    Returns:
        Their places among the samples, the largest median first; the leader itself is not among them.
    """
    order = sorted(range(len(samples)), key=lambda place: -float(np.median(samples[place])))
    behind = []
    for place in order[1:]:
        p = pair_p(samples[order[0]], samples[place], len(samples))
        if p is not None and p < 1 - level and np.mean(samples[place]) < np.mean(samples[order[0]]):
            behind.append(place)
    return behind
