"""Whether a quantity lies above or below a threshold: its estimate, its interval, and a p-value for each side.

A `Location` is the mean or median of one sample, a share, or how far one sample lies above another. Which one is right depends on
what may be assumed of the values. None of them decides anything from values that do not vary.
"""

import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from gatelab.analysis.statistics.intervals import LEVEL, Interval, moments, varies
from gatelab.analysis.statistics.means import Spread, interval_of, spread_of_samples
from gatelab.analysis.statistics.permutation import exceedance, median_of_differences, rank_exceedance, shift_interval
from gatelab.analysis.statistics.survival import Times, median_time, rescaled_scores, share_interval

Values = NDArray[np.float64]
_FARTHEST = math.log(1e4)  # a ratio of times beyond which none is looked for
_GRID = np.linspace(0.0, 1.0, 201)  # of the share that two shares differ from


class Location(Protocol):
    """What a claim is about.

    Attributes:
        least: the smallest p-value that as many runs can give, whatever their values; 0 where the numbers set no bound.
    """

    least: float

    @property
    def value(self) -> float:
        """The estimate."""
        ...

    def p_above(self, threshold: float) -> float:
        """The p-value of "it lies at or below the threshold": small where it lies above."""
        ...

    def p_below(self, threshold: float) -> float:
        """The p-value of "it lies at or above the threshold": small where it lies below."""
        ...

    def interval(self, level: float = LEVEL) -> Interval:
        """The estimate with the thresholds that neither side rejects at (1 - level) / 2; no bounds if they do not exist."""
        ...


class StudentT:
    """A mean, or a difference of two means, with Student's t: for values that scatter around one place.

    Args:
        spread: the estimate with its standard error, and the degrees of freedom.
    """

    def __init__(self, spread: Spread) -> None:
        self.value, self.least = spread.value, 0.0
        self._spread = spread

    @classmethod
    def of_mean(cls, x: Values) -> "StudentT":
        """The mean of one sample (n,)."""
        mean, variance, n = moments(x)
        return cls(Spread(mean, math.sqrt(variance / n) if variance is not None and _varies(x) else None, n - 1))

    @classmethod
    def of_difference(cls, x: Values, y: Values) -> "StudentT":
        """mean(x) - mean(y), with Welch's degrees of freedom; not tested where a side does not vary."""
        spread = spread_of_samples(x, y)
        return cls(spread if _varies(x) and _varies(y) else spread._replace(standard_error=None))

    def p_above(self, threshold: float) -> float:
        error = self._spread.standard_error
        return float(special.stdtr(self._spread.degrees, (threshold - self.value) / error)) if error else 1.0

    def p_below(self, threshold: float) -> float:
        error = self._spread.standard_error
        return float(special.stdtr(self._spread.degrees, (self.value - threshold) / error)) if error else 1.0

    def interval(self, level: float = LEVEL) -> Interval:
        return interval_of(self._spread, level) if self._spread.standard_error else Interval(self.value, None, None)


class Median:
    """The median of one sample, whatever the distribution: the exact sign test.

    p = P(Bin(n, 1/2) >= number of values above the threshold); a value that equals it speaks for neither side.

    References:
        J. Arbuthnott, Philosophical Transactions 27, 1710. W. R. Thompson, Annals of Mathematical Statistics 7, 1936 (the
        interval).
    """

    def __init__(self, x: Values) -> None:
        self._x = np.sort(x)
        self.value, self.least = float(np.median(x)), 0.5**x.size

    def p_above(self, threshold: float) -> float:
        return _tail(int((self._x > threshold).sum()), self._x.size)

    def p_below(self, threshold: float) -> float:
        return _tail(int((self._x < threshold).sum()), self._x.size)

    def interval(self, level: float = LEVEL) -> Interval:
        n = self._x.size
        k = int(stats.binom.ppf((1 - level) / 2, n, 0.5))  # the least number whose tail is not below
        return Interval(self.value, float(self._x[k - 1]), float(self._x[n - k])) if k else Interval(self.value, None, None)


class MedianTime:
    """The time by which half of the runs solve a task: the exact sign test, where a run that ended unsolved takes longer than that.

    It speaks for a time above any threshold up to its end, and never for one below.

    References:
        As `Median` and `survival.median_time`.
    """

    def __init__(self, x: Times) -> None:
        self._times, self._solved = np.asarray(x.times, dtype=float), np.asarray(x.solved, dtype=bool)
        self.least = 0.5**self._times.size

    @property
    def value(self) -> float:
        return median_time(Times(self._times, self._solved)).value

    def p_above(self, threshold: float) -> float:
        later = np.where(self._solved, self._times > threshold, self._times >= threshold)
        return _tail(int(later.sum()), self._times.size)

    def p_below(self, threshold: float) -> float:
        return _tail(int((self._solved & (self._times < threshold)).sum()), self._times.size)

    def interval(self, level: float = LEVEL) -> Interval:
        n = self._times.size
        k = int(stats.binom.ppf((1 - level) / 2, n, 0.5))
        if not k:
            return Interval(self.value, None, None)
        latest = np.sort(np.where(self._solved, self._times, math.inf))
        return Interval(self.value, float(np.sort(self._times)[k - 1]), float(latest[n - k]))


class Shift:
    """How far one sample lies above another of the same shape, whatever that is: the exact rank test.

    References:
        H. B. Mann, D. R. Whitney, 1947; J. L. Hodges, E. L. Lehmann, 1963, as in `permutation`.
    """

    def __init__(self, x: Values, y: Values) -> None:
        self._x, self._y = x, y
        self.value, self.least = median_of_differences(x, y), 1 / math.comb(x.size + y.size, y.size)

    def p_above(self, threshold: float) -> float:
        return rank_exceedance(self._x - threshold, self._y, self._rounding(threshold))

    def p_below(self, threshold: float) -> float:
        return rank_exceedance(self._y, self._x - threshold, self._rounding(threshold))

    def _rounding(self, threshold: float) -> float:
        """By how much equal numbers may differ when a margin was added to one of them and is subtracted again."""
        return 8 * float(np.finfo(float).eps) * max(abs(threshold), *np.abs(self._x), *np.abs(self._y)) if threshold else 0.0

    def interval(self, level: float = LEVEL) -> Interval:
        return shift_interval(self._x, self._y, level)


class Share:
    """The share of runs of which something is true, from a sample of 0 and 1: exact (Clopper and Pearson 1934)."""

    def __init__(self, x: Values) -> None:
        self._count, self._n = int(x.sum()), x.size
        self.value, self.least = self._count / self._n, 0.0

    def p_above(self, threshold: float) -> float:
        return float(stats.binom.sf(self._count - 1, self._n, min(max(threshold, 0.0), 1.0)))

    def p_below(self, threshold: float) -> float:
        return float(stats.binom.cdf(self._count, self._n, min(max(threshold, 0.0), 1.0)))

    def interval(self, level: float = LEVEL) -> Interval:
        return share_interval(self._count, self._n, level)


class ShareDifference:
    """The difference of two shares: exact, over all values that the second share can have.

    p_above(d) = max over q of P(T >= T observed | share q + d of the first, q of the second), T the score statistic of Farrington
    and Manning. A maximum over 201 values of q stands for that over all.

    References:
        I. S. F. Chan, Z. Zhang, "Test-based exact confidence intervals for the difference of two binomial proportions", Biometrics
        55, 1999. C. P. Farrington, G. Manning, Statistics in Medicine 9, 1990.
    """

    def __init__(self, x: Values, y: Values) -> None:
        self._table = (int(x.sum()), x.size, int(y.sum()), y.size)
        self.value, self.least = float(x.mean() - y.mean()), 0.0

    def p_above(self, threshold: float) -> float:
        return _largest_tail(*self._table, threshold)

    def p_below(self, threshold: float) -> float:
        count, n, other, m = self._table
        return _largest_tail(other, m, count, n, -threshold)

    def interval(self, level: float = LEVEL) -> Interval:
        tail = (1 - level) / 2
        low = _crossing(self.p_above, -1.0, self.value, tail)
        high = -_crossing(lambda d: self.p_below(-d), -1.0, -self.value, tail)
        return Interval(self.value, low, high)


class TimeRatio:
    """How much faster one side solves a task, as the logarithm of the ratio of times: the exact log-rank test.

    If the first side needs exp(-d) of the time of the second, its times multiplied by exp(d) are like those of the second. Both are
    then cut off at the shorter budget, so that neither side is seen for longer.

    References:
        N. Mantel, 1966, as in `survival`. L. J. Wei, "The accelerated failure time model", Statistics in Medicine 11, 1992.
    """

    def __init__(self, x: Times, y: Times) -> None:
        self._x, self._y = x, y
        self._budgets = float(np.max(x.times)), float(np.max(y.times))
        n, m = (len(np.asarray(side.times)) for side in (x, y))
        self.least = 1 / math.comb(n + m, n)

    @property
    def value(self) -> float:
        return _crossing(self._balance, -_FARTHEST, _FARTHEST, 0.0)

    def p_above(self, threshold: float) -> float:
        return exceedance(*self._scores(threshold))

    def p_below(self, threshold: float) -> float:
        scores, n = self._scores(threshold)
        return exceedance(-scores, n)

    def interval(self, level: float = LEVEL) -> Interval:
        tail = (1 - level) / 2
        if min(self.p_above(-_FARTHEST), self.p_below(_FARTHEST)) > tail:
            return Interval(self.value, None, None)
        low = _crossing(self.p_above, -_FARTHEST, _FARTHEST, tail)
        high = -_crossing(lambda d: self.p_below(-d), -_FARTHEST, _FARTHEST, tail)
        return Interval(self.value, low, high)

    def _scores(self, threshold: float) -> tuple[Values, int]:
        return rescaled_scores(self._x, self._y, threshold, self._budgets)

    def _balance(self, threshold: float) -> float:
        """Falls as the first side is slowed down; below 0 where it is behind."""
        scores, n = self._scores(threshold)
        return -float(scores[:n].sum())


def _varies(x: Values) -> bool:
    variance = moments(x)[1]
    return variance is not None and varies(variance, *map(float, x))


def _tail(count: int, n: int) -> float:
    return float(stats.binom.sf(count - 1, n, 0.5))


def _crossing(function: Callable[[float], float], low: float, high: float, level: float) -> float:
    """Where a rising step function first exceeds a level, to 1e-4 of the range; an end of the range where it does not cross."""
    if function(low) > level:
        return low
    if function(high) <= level:
        return high
    for _ in range(14):
        middle = (low + high) / 2
        low, high = (low, middle) if function(middle) > level else (middle, high)
    return (low + high) / 2


class _Table(NamedTuple):
    """All outcomes of two samples: the score statistic (n + 1, m + 1) and the logarithms of their numbers of ways."""

    statistic: Values
    ways: Values


@lru_cache(maxsize=256)
def _outcomes(n: int, m: int, d: float) -> _Table:
    i, j = np.arange(n + 1)[:, None], np.arange(m + 1)[None, :]
    p, q = i / n, j / m
    difference = p - q - d
    # The variance with the shares that are likeliest among those that differ by d, found on a grid.
    grid = _GRID[(_GRID + d >= 0) & (_GRID + d <= 1)][:, None, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        likelihood = (
            special.xlogy(i, grid + d)
            + special.xlog1py(n - i, -(grid + d))
            + special.xlogy(j, grid)
            + special.xlog1py(m - j, -grid)
        )
    best = grid[:, 0, 0][np.nan_to_num(likelihood, nan=-np.inf).argmax(axis=0)]
    variance = (best + d) * (1 - best - d) / n + best * (1 - best) / m
    statistic = np.where(variance > 1e-12, difference / np.sqrt(np.maximum(variance, 1e-12)), np.sign(difference) * 1e6)
    ways = _log_ways(n)[:, None] + _log_ways(m)[None, :]
    return _Table(np.where(np.abs(difference) < 1e-12, 0.0, statistic), ways)


def _log_ways(n: int) -> Values:
    k = np.arange(n + 1)
    return special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1)


@lru_cache(maxsize=65536)
def _largest_tail(count: int, n: int, other: int, m: int, d: float) -> float:
    if d <= -1:
        return 0.0
    if d >= 1:
        return 1.0
    table = _outcomes(n, m, round(d, 9))
    tail = table.statistic >= table.statistic[count, other] - 1e-9
    i, j = np.nonzero(tail)
    q = _GRID[(_GRID + d >= 0) & (_GRID + d <= 1)][:, None]
    logs = (
        table.ways[tail]
        + special.xlogy(i, q + d)
        + special.xlog1py(n - i, -(q + d))
        + special.xlogy(j, q)
        + special.xlog1py(m - j, -q)
    )
    return float(min(1.0, np.exp(logs).sum(axis=1).max()))
