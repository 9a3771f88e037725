"""Scores over seeds and tasks, and their uncertainty: pure functions on arrays. What differs: `differences.py`.

A diverged seed (nan or infinite score) is never left out: statistics of ranks take it as the worst value there can be
(`failures_last`), and a mean that it is part of is nan or infinite and has no interval.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import betaincinv, stdtrit

LEVEL = 0.95
SMALL_N = 5  # below it no exact paired test reaches p < 0.05, and a percentile bootstrap covers far less than it says


class Interval(NamedTuple):
    """An estimate and the bounds of its confidence interval; the bounds are None where the data determine none."""

    value: float
    low: float | None
    high: float | None


class Profile(NamedTuple):
    """A performance profile: the share of runs above each threshold, with a pointwise band.

    Attributes:
        thresholds: (K,), normalised scores.
        share: (K,), in [0, 1], falling.
        low, high: (K,), the band.
    """

    thresholds: NDArray[np.float64]
    share: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


def mean_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """The mean and Student's t interval of it.

    mean +- t s / sqrt(n),  s^2 = sum (x - mean)^2 / (n - 1),  t the (1 + level) / 2 quantile of Student's t with n - 1 degrees of
    freedom. It covers the true mean with probability `level` if the values are independent and normal.

    Args:
        values: (n,), one value a seed.
        level: confidence, in (0, 1).

    Returns:
        The mean; no bounds for a single value, when a value is nan or infinite, or when all are equal: that they do not vary says
        nothing of how far from the mean they lie.

    Raises:
        ValueError: there are no values.

    References:
        Student (W. S. Gosset), "The probable error of a mean", Biometrika 6, 1908.
    """
    mean, variance, n = moments(values)
    if variance is None or not varies(variance, mean):
        return Interval(mean, None, None)
    half = quantile(n - 1, level) * math.sqrt(variance / n)
    return Interval(mean, mean - half, mean + half)


def median_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """The median and its distribution-free interval.

    (x_(k), x_(n + 1 - k)), x in rising order, k the largest for which it covers the median with 1 - 2 P(Bin(n, 1/2) < k)
    of at least level - 0.02. At 0.95 that is from the smallest to the largest of five values (0.9375) and from the second to the
    ninth of ten (0.979), whatever the distribution.

    Args:
        values: (n,), one value a seed; infinite ones count as the largest or smallest.
        level: confidence, in (0, 1).

    Returns:
        The median; no bounds for values too few for this level, at 0.95 fewer than five, or when a value is nan.

    Raises:
        ValueError: there are no values.

    References:
        W. R. Thompson, "On confidence ranges for the median and other expectation distributions for populations of unknown
        distribution form", Annals of Mathematical Statistics 7, 1936.
    """
    x = np.sort(np.asarray(values, dtype=float))
    if x.ndim != 1 or not x.size:
        raise ValueError(f"Values of shape (n,) with n >= 1 are needed, but the shape is {x.shape}.")
    lower, upper = x[(x.size - 1) // 2], x[x.size // 2]
    value = float(lower if lower == upper else (lower + upper) / 2)  # infinite ones are equal
    covered = 1 - 2 * stats.binom.cdf(np.arange(x.size // 2), x.size, 0.5)  # of k = 1, 2, ...
    k = int((covered >= level - 0.02).sum())
    if k == 0 or np.isnan(x).any():
        return Interval(math.nan if np.isnan(x).any() else value, None, None)
    return Interval(value, float(x[k - 1]), float(x[-k]))


def difference_of(a: Interval, b: Interval) -> Interval:
    """The difference of two independent estimates, with an interval made of theirs (MOVER).

    (a - b) - sqrt((a - a_low)^2 + (b_high - b)^2)  to  (a - b) + sqrt((a_high - a)^2 + (b - b_low)^2): of shares with exact
    intervals, of restricted means. No bounds where one of the two has none.

    References:
        R. G. Newcombe, "Interval estimation for the difference between independent proportions", Statistics in Medicine 17, 1998
        (method 10). G. Y. Zou, A. Donner, "Construction of confidence limits about effect measures: a general approach",
        Statistics in Medicine 27, 2008.
    """
    value = a.value - b.value
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return Interval(value, None, None)
    return Interval(
        value, value - math.hypot(a.value - a.low, b.high - b.value), value + math.hypot(a.high - a.value, b.value - b.low)
    )


def failures_last(scores: ArrayLike, higher_is_better: bool) -> NDArray[np.float64]:
    """The scores with every nan and infinity replaced by the worst value there can be, -inf or inf.

    Args:
        scores: (n,), one score a seed.
        higher_is_better: the direction of the score.
    """
    x = np.array(scores, dtype=float)
    x[~np.isfinite(x)] = -math.inf if higher_is_better else math.inf
    return x


def normalised(scores: ArrayLike, chance: float, solved: float, higher_is_better: bool) -> NDArray[np.float64]:
    """Scores on the scale on which tasks can be put together: 0 at chance, 1 where the task counts as solved, not clipped.

    (x - chance) / (solved - chance); higher is better whatever the direction of x, and a diverged seed is -inf.

    Args:
        scores: (n,), one score a seed.
        chance, solved: the task's levels.
        higher_is_better: the direction of the scores.

    Raises:
        ValueError: chance and solved are the same, or not finite.
    """
    if chance == solved or not (math.isfinite(chance) and math.isfinite(solved)):
        raise ValueError(f"Scores cannot be normalised from chance = {chance} to solved = {solved}.")
    x = failures_last(scores, higher_is_better)
    return (x - chance) / (solved - chance) if higher_is_better else (chance - x) / (chance - solved)


def interquartile_mean(values: ArrayLike) -> float:
    """The mean of the middle half (IQM): the 25% best and the 25% worst are left out, each rounded down.

    More robust than the mean and more efficient than the median. Below n = 4 nothing is left out, and it is the mean.

    Args:
        values: any shape, pooled; failures as `failures_last` marks them: they count in the worst quarter, and where they are more
            than that, the result is infinite.

    Raises:
        ValueError: there are no values.

    References:
        R. Agarwal, M. Schwarzer, P. S. Castro, A. Courville, M. G. Bellemare, "Deep reinforcement learning at the edge of the
        statistical precipice", NeurIPS 2021, section 4.3.
    """
    x = np.asarray(values, dtype=float)
    if not x.size:
        raise ValueError("The interquartile mean of no values is not defined.")
    return float(_iqm(x.reshape(-1)))


def performance_profile(tasks: Sequence[ArrayLike], thresholds: ArrayLike, level: float = LEVEL) -> Profile:
    """The share of runs with a score above each threshold (run-score distribution), with an exact pointwise band.

    F(tau) = 1/M sum_m 1/N_m sum_n [x_mn > tau]; a diverged seed is above no threshold. The band is that of Clopper and Pearson for
    F N of N runs, N = 1 / sum of squared weights, which is the number of all runs where tasks have equally many: the share of
    several tasks together scatters at most as much as that of one (Hoeffding 1956). A bootstrap of the seeds within each task
    covers .35 to .96 with 3 seeds, .57 to .92 with 5 and .80 to .96 with 10, in place of .95 (normal scores, 1, 2 and 5 tasks).

    Args:
        tasks: for each task the normalised scores of its seeds, (n_m,).
        thresholds: (K,), of the normalised score.
        level: confidence, in (0, 1).

    Raises:
        ValueError: there is no task, or a task without scores.

    References:
        Agarwal et al. 2021, section 4.3. E. D. Dolan, J. J. More, "Benchmarking optimization software with performance profiles",
        Mathematical Programming 91, 2002. W. Hoeffding, "On the distribution of the number of successes in independent trials",
        Annals of Mathematical Statistics 27, 1956. C. J. Clopper, E. S. Pearson, Biometrika 26, 1934.
    """
    tau = np.asarray(thresholds, dtype=float)
    samples = [np.asarray(scores, dtype=float) for scores in tasks]
    if not samples or any(x.ndim != 1 or not x.size for x in samples):
        raise ValueError("Scores of at least one task are needed, each of shape (n,) with n >= 1.")
    weights = np.concatenate([np.full(x.size, 1 / (len(samples) * x.size)) for x in samples])
    pooled = np.concatenate(samples)
    share = np.array([(pooled > threshold) @ weights for threshold in tau])
    n = 1 / float((weights**2).sum())
    count, tail = np.clip(share * n, 0, n), (1 - level) / 2
    some, not_all = count > 1e-9, count < n - 1e-9
    low = np.where(some, betaincinv(np.where(some, count, 1.0), n - count + 1, tail), 0.0)
    high = np.where(not_all, betaincinv(count + 1, np.where(not_all, n - count, 1.0), 1 - tail), 1.0)
    return Profile(tau, share, low, high)


def small_n(counts: Sequence[int]) -> str:
    """A sentence on what so few seeds cannot show; empty from SMALL_N on."""
    least = min(counts, default=0)
    if least >= SMALL_N:
        return ""
    seeds = f"{least} seed" + ("" if least == 1 else "s")
    if least < 2:
        return f"With {seeds} there is neither an interval nor a test."
    return f"With {seeds} an interval rests on the assumption that scores are normal, and only large differences can be seen."


def moments(values: ArrayLike) -> tuple[float, float | None, int]:
    """Mean, unbiased variance (None without one) and number of values.

    Raises:
        ValueError: the values are not of shape (n,) with n >= 1.
    """
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or not x.size:
        raise ValueError(f"Values of shape (n,) with n >= 1 are needed, but the shape is {x.shape}.")
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged seed is inf or nan, and so is the mean
        mean = float(x.mean())
        variance = float(x.var(ddof=1)) if x.size > 1 else math.nan
    return mean, variance if math.isfinite(variance) else None, x.size


def quantile(degrees: float, level: float) -> float:
    """The two-sided quantile of Student's t."""
    return float(stdtrit(degrees, (1 + level) / 2))


def varies(variance: float, *values: float) -> bool:
    """Whether a variance is more than what rounding makes of equal numbers of this size."""
    return math.sqrt(variance) > 1e-14 * max(map(abs, values), default=0.0)


def _iqm(pooled: NDArray[np.float64]) -> NDArray[np.float64]:
    return stats.trim_mean(pooled, 0.25, axis=-1)
