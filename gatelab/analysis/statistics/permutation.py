"""Two samples compared by their ranks, exactly: tests and intervals that assume no distribution, for few seeds."""

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from gatelab.analysis.statistics.intervals import LEVEL, Interval

ARRANGEMENTS = 10_000  # up to so many ways to divide the runs are all counted; of more, one less is drawn
_COUNTED = 2_500  # pairs of runs up to which the distribution of their order is counted


class Exact(NamedTuple):
    """What a permutation test found.

    Attributes:
        statistic: of the test.
        p: two-sided; `least`: the smallest p that the data allow, however the runs are divided.
    """

    statistic: float
    p: float
    least: float


def rank_test(x: NDArray[np.float64], y: NDArray[np.float64]) -> Exact:
    """The exact two-sided Mann-Whitney test, ties included.

    U = number of pairs in which x is larger, ties by half. p is the share of all ways to divide the n + m values with a U at least
    as far from n m / 2, or of 9,999 drawn ones, always the same, and the one observed, where there are more than 10,000. Whatever
    the distribution, p < alpha has a probability of at most alpha if both sides have the same one.

    Args:
        x, y: (n,), (m,); infinite values are the largest or smallest, and tie among themselves.

    References:
        H. B. Mann, D. R. Whitney, "On a test of whether one of two random variables is stochastically larger than the other",
        Annals of Mathematical Statistics 18, 1947.
    """
    ranks = stats.rankdata(np.concatenate([x, y]))
    chosen, drawn = _divisions(x.size, y.size)
    middle = x.size * (x.size + y.size + 1) / 2
    sums = np.abs(ranks[chosen].sum(axis=1) - middle)
    observed = float(ranks[: x.size].sum())
    p, least = (((sums >= size - 1e-9).sum() + drawn) / (len(sums) + drawn) for size in (abs(observed - middle), sums.max()))
    return Exact(observed - x.size * (x.size + 1) / 2, float(p), float(least))


def least_p(n: int, m: int) -> float:
    """The smallest two-sided p of an exact test of n against m runs without ties."""
    return 2 / math.comb(n + m, n)


def shift_interval(x: NDArray[np.float64], y: NDArray[np.float64], level: float = LEVEL) -> Interval:
    """How much larger x is than y: the median of all differences x_i - y_j, and the interval that the exact rank test leaves.

    (d_(k), d_(n m + 1 - k)),  d the n m differences in rising order, k - 1 the largest U that Mann and Whitney's test rejects at
    1 - level. It covers the shift between two distributions of one shape at least with probability `level`, whatever the shape.

    Args:
        x, y: (n,), (m,); infinite values as in `rank_test`.
        level: confidence, in (0, 1).

    Returns:
        The shift; no bounds where the test rejects nothing at this level: at 0.95 for fewer than four against four runs. A bound
        may be infinite where runs failed.

    References:
        J. L. Hodges, E. L. Lehmann, "Estimates of location based on rank tests", Annals of Mathematical Statistics 34, 1963.
        M. Hollander, D. A. Wolfe, E. Chicken, "Nonparametric statistical methods", 3rd edition 2014, section 4.3.
    """
    every = _differences(x, y)
    value = _median(every)
    k = _rejected(x.size, y.size, 1 - level)
    return Interval(value, None, None) if k == 0 else Interval(value, float(every[k - 1]), float(every[-k]))


def median_of_differences(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """The median of all differences x_i - y_j, the estimate of `shift_interval`."""
    return _median(_differences(x, y))


def exceedance(scores: NDArray[np.float64], n: int) -> float:
    """The one-sided p-value of a permutation test: how often n scores, however chosen, add up to as much as the first n.

    Over all ways to choose them, or over 9,999 drawn ones, always the same, and the one observed, where there are more than 10,000.

    Args:
        scores: (n + m,), those of the first side first.
        n: how many these are.
    """
    chosen, drawn = _divisions(n, scores.size - n)
    sums = scores[chosen].sum(axis=1)
    tolerance = 1e-9 * max(1.0, float(np.abs(sums).max()))
    return float(((sums >= scores[:n].sum() - tolerance).sum() + drawn) / (len(sums) + drawn))


def two_sided(scores: NDArray[np.float64], n: int) -> float:
    """The two-sided p-value of a permutation test: how often n scores, however chosen, are as far from their mean as the first n.

    Args:
        scores: (n + m,), those of the first side first; their sum is 0.
        n: how many these are.
    """
    chosen, drawn = _divisions(n, scores.size - n)
    sums = np.abs(scores[chosen].sum(axis=1))
    observed = abs(float(scores[:n].sum())) - 1e-9 * max(1.0, float(sums.max()))
    return float(((sums >= observed).sum() + drawn) / (len(sums) + drawn))


def signed_rank_test(differences: NDArray[np.float64]) -> Exact:
    """The exact two-sided test of Wilcoxon on the differences of pairs, ties and zeros included (zeros rank first, without a sign).

    W = sum of sign(d_i) rank(|d_i|), among all 2^n ways to choose the signs, or 9,999 drawn ones.

    Args:
        differences: (n,), one a pair.

    References:
        F. Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1, 1945. J. W. Pratt, "Remarks on zeros and
        ties in the Wilcoxon signed rank procedures", JASA 54, 1959.
    """
    ranks = stats.rankdata(np.abs(differences)) * (differences != 0)
    n = ranks.size
    if 2**n <= ARRANGEMENTS:
        signs, drawn = np.array(list(itertools.product((-1, 1), repeat=n))), 0
    else:
        signs, drawn = np.random.default_rng(0).choice((-1, 1), size=(ARRANGEMENTS - 1, n)), 1
    sums = np.abs(signs @ ranks)
    observed = float(np.sign(differences) @ ranks)
    p, least = (((sums >= size - 1e-9).sum() + drawn) / (len(sums) + drawn) for size in (abs(observed), sums.max()))
    return Exact(observed, float(p), float(least))


@lru_cache(maxsize=256)
def _divisions(n: int, m: int) -> tuple[NDArray[np.intp], int]:
    """Which n of n + m runs are on the first side: every way, or drawn ones; and whether the observed one comes on top."""
    if math.comb(n + m, n) <= ARRANGEMENTS:
        return np.array(list(itertools.combinations(range(n + m), n)), dtype=np.intp), 0
    rng = np.random.default_rng(0)
    return rng.permuted(np.tile(np.arange(n + m), (ARRANGEMENTS - 1, 1)), axis=1)[:, :n], 1


@lru_cache(maxsize=4096)
def _rejected(n: int, m: int, alpha: float) -> int:
    """How many values of U, from 0 on, the two-sided test of n against m runs without ties rejects on each side."""
    if n * m > _COUNTED:
        spread = math.sqrt(n * m * (n + m + 1) / 12)
        return max(0, int(n * m / 2 - 0.5 + float(special.ndtri(alpha / 2)) * spread) + 1)
    # How many ways there are to a U: the coefficients of prod (1 - q^(n + i)) / (1 - q^i), in whole numbers.
    ways = [1] + [0] * (n * m)
    for i in range(1, m + 1):
        for u in range(n * m, n + i - 1, -1):
            ways[u] -= ways[u - n - i]
        for u in range(i, n * m + 1):
            ways[u] += ways[u - i]
    below = np.cumsum([count / math.comb(n + m, n) for count in ways])
    return int(np.searchsorted(below, alpha / 2 + 1e-12, side="right"))


def _differences(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """All x_i - y_j in rising order (n m,); two failures tie."""
    with np.errstate(invalid="ignore"):
        every = (x[:, None] - y[None, :]).ravel()
    return np.sort(np.where(np.isnan(every), 0.0, every))


def _median(every: NDArray[np.float64]) -> float:
    with np.errstate(invalid="ignore"):
        value = float(np.median(every))
    return 0.0 if math.isnan(value) else value
