"""Two samples compared by their ranks, exactly: tests and intervals that assume no distribution, for few seeds."""

import itertools
import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from gatelab.analysis.statistics.intervals import LEVEL, Interval

ARRANGEMENTS = 10_000  # up to so many ways to divide scores are all counted; of more, one less is drawn
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
    as far from n m / 2; all of them are counted, for samples with n m > 2,500 9,999 drawn ones, always the same, and the one
    observed. Whatever the distribution, p < alpha has a probability of at most alpha if both sides have the same one.

    Args:
        x, y: (n,), (m,); infinite values are the largest or smallest, and tie among themselves.

    References:
        H. B. Mann, D. R. Whitney, "On a test of whether one of two random variables is stochastically larger than the other",
        Annals of Mathematical Statistics 18, 1947. B. Streitberg, J. Roehmel, "Exact distributions for permutation and rank tests",
        Statistical Software Newsletter 12, 1986 (how to count).
    """
    groups, observed = _groups(x, y)
    middle = x.size * (x.size + y.size + 1)  # twice the mean of the sum of ranks
    sums, ways, drawn = _rank_sums(groups, x.size)
    far = np.abs(sums - middle)
    p, least = ((ways[far >= size].sum() + drawn) / (ways.sum() + drawn) for size in (abs(observed - middle), far.max()))
    return Exact(observed / 2 - x.size * (x.size + 1) / 2, float(p), float(least))


def rank_exceedance(x: NDArray[np.float64], y: NDArray[np.float64], tolerance: float = 0.0) -> float:
    """The one-sided p-value of the same test: small where x is larger.

    Args:
        x, y: (n,), (m,).
        tolerance: neighbours that differ by at most this tie: rounding tells apart what is equal once a margin is subtracted.
    """
    groups, observed = _groups(x, y, tolerance)
    sums, ways, drawn = _rank_sums(groups, x.size)
    return float((ways[sums >= observed].sum() + drawn) / (ways.sum() + drawn))


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
    sums, drawn = divided_sums(scores, n)
    tolerance = 1e-9 * max(1.0, float(np.abs(sums).max()))
    return float(((sums >= scores[:n].sum() - tolerance).sum() + drawn) / (len(sums) + drawn))


def two_sided(scores: NDArray[np.float64], n: int) -> float:
    """The two-sided p-value of a permutation test: how often n scores, however chosen, are as far from their mean as the first n.

    Args:
        scores: (n + m,), those of the first side first; their sum is 0.
        n: how many these are.
    """
    sums, drawn = divided_sums(scores, n)
    sums = np.abs(sums)
    observed = abs(float(scores[:n].sum())) - 1e-9 * max(1.0, float(sums.max()))
    return float(((sums >= observed).sum() + drawn) / (len(sums) + drawn))


def divided_sums(scores: NDArray[np.float64], n: int) -> tuple[NDArray[np.float64], int]:
    """The sum of n scores under every way to choose them, or under drawn ones.

    Returns:
        The sums, and 1 where they are drawn, so that the one observed comes on top; else 0.
    """
    chosen, drawn = _divisions(n, scores.size - n)
    return chosen @ scores, drawn


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


def _groups(x: NDArray[np.float64], y: NDArray[np.float64], tolerance: float = 0.0) -> tuple[tuple[int, ...], int]:
    """How many values share each rank, in rising order, and twice the sum of the ranks of x."""
    both = np.concatenate([x, y])
    order = np.argsort(both, kind="stable")
    with np.errstate(invalid="ignore"):  # two failures tie
        group = np.concatenate([[0], np.cumsum(np.diff(both[order]) > tolerance)])
    sizes = np.bincount(group)
    twice = 2 * np.cumsum(sizes) - sizes + 1
    return tuple(sizes.tolist()), int(twice[group[order < x.size]].sum())


@lru_cache(maxsize=4096)
def _rank_sums(groups: tuple[int, ...], n: int) -> tuple[NDArray[np.int64], NDArray[np.float64], int]:
    """The distribution of twice the sum of n ranks, ties sharing theirs.

    Returns:
        Its values, in how many ways each comes about, and 1 where the ways are drawn, so that the one observed is added; else 0.
    """
    total = sum(groups)
    twice = 2 * np.cumsum(groups) - np.array(groups) + 1
    if n * (total - n) > _COUNTED:
        sums, drawn = divided_sums(np.repeat(twice, groups).astype(float), n)
        values, ways = np.unique(np.rint(sums).astype(np.int64), return_counts=True)
        return values, ways.astype(float), drawn
    # In how many ways k of the values so far have a sum: with each group, for every number of its values that are among them.
    ways = np.zeros((n + 1, int(np.sort(np.repeat(twice, groups))[total - n :].sum()) + 1))
    ways[0, 0] = 1.0
    for size, rank in zip(groups, twice, strict=True):
        before = ways.copy()
        for taken in range(1, min(size, n) + 1):
            shift = taken * int(rank)
            if shift < ways.shape[1]:
                ways[taken:, shift:] += math.comb(size, taken) * before[: n + 1 - taken, : ways.shape[1] - shift]
    values = np.flatnonzero(ways[n])
    return values, ways[n, values], 0


@lru_cache(maxsize=64)
def _divisions(n: int, m: int) -> tuple[NDArray[np.float64], int]:
    """Which n of n + m runs are on the first side, 1 or 0 for each: every way, or drawn ones, so that the observed one is added."""
    if math.comb(n + m, n) <= ARRANGEMENTS:
        chosen, drawn = np.array(list(itertools.combinations(range(n + m), n)), dtype=np.intp), 0
    else:
        rng = np.random.default_rng(0)
        chosen, drawn = rng.permuted(np.tile(np.arange(n + m), (ARRANGEMENTS - 1, 1)), axis=1)[:, :n], 1
    flags = np.zeros((len(chosen), n + m))
    np.put_along_axis(flags, chosen, 1.0, axis=1)
    return flags, drawn


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
