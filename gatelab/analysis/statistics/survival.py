"""How long it takes to solve a task where some runs never do (right-censored times): pure functions on arrays.

A run that does not solve its task within its budget is not left out and its time is not made up: all that is known is that it takes
longer than the budget, and every function here uses just that.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from gatelab.analysis.statistics.intervals import LEVEL, Interval
from gatelab.analysis.statistics.permutation import ARRANGEMENTS, divided_sums

DRAWS = 4_000  # of the distribution of a restricted mean
_LEAST = 1e-300  # a time of 0 has no logarithm
FEWEST = 3  # runs for an interval of it
MEDIAN_LEVEL = 0.93  # the interval of a median may cover this little: that of five values can only cover 0.9375


class Times(NamedTuple):
    """The times to solve of the runs of one variant, in any unit.

    Attributes:
        times: (n,), when each run solved the task, or when it was last seen without having done so; not negative.
        solved: (n,), whether it did.
    """

    times: ArrayLike
    solved: ArrayLike


class Survival(NamedTuple):
    """The share of runs that have solved a task, against time.

    Attributes:
        times: (K,), rising: 0 and the times of the runs.
        share: (K,), from each time until the next; it rises.
        low, high: (K,), the pointwise interval.
        at_risk: (K,), runs that are observed and unsolved just before each time.
        censored: (C,), times at which runs ended unsolved.
    """

    times: NDArray[np.float64]
    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    at_risk: NDArray[np.int64]
    censored: NDArray[np.float64]


class LogRank(NamedTuple):
    """What a log-rank test found.

    Attributes:
        observed, expected: solved runs of the first side, and how many there would be if both sides were alike.
        chi_square: (observed - expected)^2 / variance, one degree of freedom; nan where no run is solved that could have been of
            either side.
        p: two-sided, by permutation.
        least: the smallest p that these times allow, however the runs are divided.
    """

    observed: float
    expected: float
    chi_square: float
    p: float
    least: float


def kaplan_meier(sample: Times, level: float = LEVEL) -> Survival:
    """The share of runs that have solved a task against time, with runs that ended unsolved (Kaplan-Meier).

    1 - S(t),  S(t) = prod_{t_i <= t} (1 - d_i / Y_i),  d_i runs solved at t_i of Y_i that were unsolved until then. The pointwise
    interval is that of the beta product, by moments: S(t) lies below the quantile of prod_i Beta(Y_i - d_i + 1, d_i) and above that
    of the same times Beta(Y(t+), 1). As long as no run ended unsolved it is that of Clopper and Pearson, and it covers at least
    `level` for any number of runs.

    Args:
        sample: of one variant.
        level: confidence, in (0, 1).

    Raises:
        ValueError: there are no times, or one is negative or not finite.

    References:
        E. L. Kaplan, P. Meier, "Nonparametric estimation from incomplete observations", JASA 53, 1958. M. P. Fay, E. H. Brittain,
        M. A. Proschan, "Pointwise confidence intervals for a survival distribution with small samples or heavy censoring",
        Biostatistics 14, 2013.
    """
    times, solved = _checked(sample)
    at = np.unique(np.concatenate([[0.0], times]))
    events = np.array([np.count_nonzero(solved & (times == t)) for t in at])
    at_risk = np.array([np.count_nonzero(times >= t) for t in at])
    beyond = np.append(at_risk[1:], at_risk[-1] - events[-1])  # until the next time; nothing is known after the last one
    found = stats.ecdf(stats.CensoredData(uncensored=times[solved], right=times[~solved]))
    tail = (1 - level) / 2
    # The first two moments of the product of independent beta variables up to each time.
    first = np.cumprod((at_risk - events + 1) / (at_risk + 1))
    second = np.cumprod((at_risk - events + 1) * (at_risk - events + 2) / ((at_risk + 1) * (at_risk + 2)))
    highest = _beta_quantile(first, second, 1 - tail)
    lowest = _beta_quantile(first * beyond / (beyond + 1), second * beyond / (beyond + 2), tail)
    return Survival(
        times=at,
        share=found.cdf.evaluate(at),
        low=1 - highest,
        high=1 - lowest,
        at_risk=at_risk,
        censored=np.sort(times[~solved]),
    )


def median_time(sample: Times) -> Interval:
    """The time by which half of the runs solve the task (of the Kaplan-Meier curve), and its distribution-free interval.

    (t_(k), t_(n + 1 - k)), k the largest for which 1 - 2 P(Bin(n, 1/2) < k) is at least 0.93: min to max of five runs, which cover
    0.9375. A run that ended unsolved counts as solved then for the lower bound and as never solved for the upper one.

    Args:
        sample: of one variant.

    Returns:
        The median; infinite where fewer than half of the runs are known to solve the task. The upper bound is infinite where the
        budgets are too short to see it. No bounds for fewer than five runs.

    Raises:
        ValueError: as `kaplan_meier`.

    References:
        W. R. Thompson, "On confidence ranges for the median and other expectation distributions for populations of unknown
        distribution form", Annals of Mathematical Statistics 7, 1936.
    """
    times, solved = _checked(sample)
    curve = kaplan_meier(sample)
    reached = curve.times[curve.share >= 0.5 - 1e-12]
    value = float(reached[0]) if reached.size else math.inf
    n = times.size
    k = max((k for k in range(n // 2 + 1) if 1 - 2 * stats.binom.cdf(k - 1, n, 0.5) >= MEDIAN_LEVEL), default=0)
    if k == 0:
        return Interval(value, None, None)
    return Interval(value, float(np.sort(times)[k - 1]), float(np.sort(np.where(solved, times, math.inf))[n - k]))


def restricted_mean(sample: Times, until: float | None = None, level: float = LEVEL) -> Interval:
    """The mean of min(time, until), the area above the curve of the share solved, and its interval.

    integral of S(t) from 0 to `until`. The interval holds the central `level` of its distribution under a Dirichlet process whose
    prior has weight 1/2 at 0 and 1/2 at `until`: the share that a time t_i takes of what is left is Beta(d_i, Y_i - d_i + 1/2). For
    times of two values it is Jeffreys' interval of their share, and like that it does not shrink to a point where all runs agree.
    Simulated coverage at 0.95, 4,000 repetitions: .931 to 1 for n = 3, 5, 10 and 20, over lognormal times (sigma .25, .5, 1) with
    a share of 0, .1, .33 or .5 beyond the budget, and over tasks that a run solves with a probability of .5, .67 or .9; above .98
    where the times hardly vary within a long budget. Over those lognormal times Student's t covers .83 to .95.

    Args:
        sample: of one variant.
        until: the end of the area; default: the longest time.
        level: confidence, in (0, 1).

    Returns:
        The mean; no bounds for fewer than three runs.

    Raises:
        ValueError: as `kaplan_meier`, or `until` is not positive or lies beyond the longest time, at which a run is unsolved.

    References:
        P. Royston, M. K. B. Parmar, "Restricted mean survival time", BMC Medical Research Methodology 13, 2013. V. Susarla,
        J. Van Ryzin, "Nonparametric Bayesian estimation of survival curves from incomplete observations", JASA 71, 1976. For the
        weights at the ends: L. D. Brown, T. T. Cai, A. DasGupta, "Interval estimation for a binomial proportion", Statistical
        Science 16, 2001.
    """
    times, solved = _checked(sample)
    until = float(times.max()) if until is None else until
    if not (until > 0 and math.isfinite(until)) or (until > times.max() and not solved[times == times.max()].all()):
        raise ValueError(f"The mean cannot be restricted to {until}: the times are known until {times.max()}.")
    solved = solved & (times < until)
    at = np.unique(times[solved])
    events = np.array([np.count_nonzero(solved & (times == t)) for t in at])
    rest = np.array([np.count_nonzero(times >= t) for t in at]) - events
    lengths = np.diff(np.concatenate([[0.0], at, [until]]))
    value = float(lengths @ np.concatenate([[1.0], np.cumprod(rest / (rest + events))]))
    if times.size < FEWEST:
        return Interval(value, None, None)
    rng = np.random.default_rng(0)
    taken = rng.beta([0.5, *events], [times.size + 0.5, *(rest + 0.5)], size=(DRAWS, at.size + 1))
    low, high = np.quantile(np.cumprod(1 - taken, axis=1) @ lengths, [(1 - level) / 2, (1 + level) / 2])
    # As Jeffreys' interval is extended to 0 and 1: where all runs agree on an end, it belongs to the interval.
    return Interval(value, min(float(low), value), max(float(high), value))


def log_rank(strata: Sequence[tuple[Times, Times]]) -> LogRank:
    """The log-rank test of two sides, stratified, with its p-value by permutation.

    U = sum over strata of (observed - expected) of the first side, expected = sum_i Y_1i d_i / Y_i over the times t_i of a stratum
    at which d_i of Y_i runs solve the task. As U is the sum of the first side's scores `solved - H(t)`, H the cumulative hazard of
    both sides together, it is compared with its values under all ways to divide the runs of each stratum, or under 9,999 drawn
    ones, always the same, where there are more than 10,000. p is the share of those at which |U| is at least as large. So the error
    of the first kind is at most the level for any number of runs, where that of the chi-square approximation is not.

    Args:
        strata: the two sides in each setting (task, size ...); a single pair where there is one setting.

    Raises:
        ValueError: there are no strata, or as `kaplan_meier`.

    References:
        N. Mantel, "Evaluation of survival data and two new rank order statistics arising in its consideration", Cancer
        Chemotherapy Reports 50, 1966. R. Peto, J. Peto, "Asymptotically efficient rank invariant test procedures", Journal of the
        Royal Statistical Society A 135, 1972 (the scores).
    """
    if not strata:
        raise ValueError("A log-rank test needs at least one pair of samples.")
    parts = [_stratum(one, other) for one, other in strata]
    observed, expected = sum(part.observed for part in parts), sum(part.expected for part in parts)
    u, variance = observed - expected, sum(part.variance for part in parts)
    scores = [part.scores for part in parts]
    every = np.abs(_rearranged(scores))
    tolerance = 1e-9 * max(1.0, float(every.max()))
    drawn = every.size < _arrangements(scores)  # then the observed one is one of them, too
    p, least = (float(((every >= size - tolerance).sum() + drawn) / (every.size + drawn)) for size in (abs(u), every.max()))
    return LogRank(observed, expected, u**2 / variance if variance > 0 else math.nan, p, least)


def rescaled_scores(one: Times, other: Times, log_factor: float, budgets: tuple[float, float]) -> tuple[NDArray[np.float64], int]:
    """The log-rank scores of both sides after the times of the first are multiplied, and how many are of the first side.

    Both are cut off at the shorter budget, so that neither side is seen for longer. Scores know only the order of times.

    Args:
        log_factor: logarithm of what the times of the first side, and its budget, are multiplied with.
        budgets: until when each side was seen.

    Raises:
        ValueError: as `kaplan_meier`.
    """
    (times_1, solved_1), (times_2, solved_2) = _checked(one), _checked(other)
    logs = [np.log(np.maximum([*times, budget], _LEAST)) for times, budget in zip((times_1, times_2), budgets, strict=True)]
    # Times that only rounding keeps apart are the same time.
    places = [np.round(logs[0] + log_factor, 9), np.round(logs[1], 9)]
    end = min(place[-1] for place in places)
    order = np.unique(np.concatenate(places))
    cut = [
        Times(np.searchsorted(order, np.minimum(place[:-1], end)), solved & (place[:-1] <= end))
        for place, solved in zip(places, (solved_1, solved_2), strict=True)
    ]
    return _stratum(*cut).scores


def share_interval(count: int, n: int, level: float = LEVEL) -> Interval:
    """A share and its exact interval, which covers at least `level` for any share and number.

    (Beta(count, n - count + 1), Beta(count + 1, n - count)) at (1 - level) / 2 and (1 + level) / 2.

    Args:
        count: how many of the `n` runs.

    Raises:
        ValueError: `n` is not positive, or `count` not in 0 to `n`.

    References:
        C. J. Clopper, E. S. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika
        26, 1934.
    """
    found = stats.binomtest(count, n).proportion_ci(level, method="exact")
    return Interval(count / n, float(found.low), float(found.high))


def _checked(sample: Times) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    times, solved = np.asarray(sample.times, dtype=float), np.asarray(sample.solved, dtype=bool)
    if times.ndim != 1 or not times.size or times.shape != solved.shape:
        raise ValueError(
            f"Times and flags of shape (n,) with n >= 1 are needed, but the shapes are {times.shape} and {solved.shape}."
        )
    if not np.isfinite(times).all() or times.min() < 0:
        raise ValueError("Times must be finite and not negative; an unsolved run has the time at which it ended.")
    return times, solved


def _beta_quantile(first: NDArray[Any], second: NDArray[Any], probability: float) -> NDArray[np.float64]:
    """Quantiles of beta variables with these first two moments; a moment of 0 or 1 is a constant."""
    spread = second - first**2
    varies = (spread > 1e-15) & (first > 0)
    total = np.divide(first - second, spread, out=np.ones_like(first), where=varies)
    a, b = np.where(varies, first * total, 1.0), np.where(varies, (1 - first) * total, 1.0)
    return np.where(varies, special.betaincinv(a, b, probability), first)


class _Stratum(NamedTuple):
    """What one setting contributes; `scores` of all its runs, and how many of these, the first ones, are of the first side."""

    observed: float
    expected: float
    variance: float
    scores: tuple[NDArray[np.float64], int]


def _stratum(one: Times, other: Times) -> _Stratum:
    (times_1, solved_1), (times_2, solved_2) = _checked(one), _checked(other)
    times, solved = np.concatenate([times_1, times_2]), np.concatenate([solved_1, solved_2])
    at = np.unique(times[solved])
    d = np.array([np.count_nonzero(solved & (times == t)) for t in at], dtype=float)
    y, y_1 = ((group[:, None] >= at).sum(axis=0) for group in (times, times_1))
    scores = solved - (times[:, None] >= at) @ (d / y)
    share = y_1 / y
    variance = float((share * (1 - share) * d * (y - d) / np.maximum(y - 1, 1)).sum())
    return _Stratum(float(solved_1.sum()), float(share @ d), variance, (scores, times_1.size))


def _arrangements(scores: Sequence[tuple[NDArray[np.float64], int]]) -> int:
    """In how many ways the runs can be divided."""
    return math.prod(math.comb(own.size, n) for own, n in scores)


def _rearranged(scores: Sequence[tuple[NDArray[np.float64], int]]) -> NDArray[np.float64]:
    """The sum of the first n scores of each stratum, over all ways to choose n of them, or over some that are drawn."""
    if len(scores) == 1:
        return divided_sums(*scores[0])[0]
    if _arrangements(scores) <= ARRANGEMENTS:
        sums = np.zeros(1)
        for own, n in scores:
            sums = (sums[:, None] + divided_sums(own, n)[0]).ravel()
        return sums
    rng = np.random.default_rng(0)
    sums = np.zeros(ARRANGEMENTS - 1)
    for own, n in scores:
        sums += rng.permuted(np.tile(own, (sums.size, 1)), axis=1)[:, :n].sum(axis=1)
    return sums
