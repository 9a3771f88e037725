"""Intervals that agree with exact tests: all differences that a test does not reject.

As test and interval are one and the same statement, an interval excludes "no difference" exactly where the test finds one.
"""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatelab.analysis.statistics.intervals import Interval
from gatelab.analysis.statistics.permutation import least_p, rank_test, signed_rank_test, two_sided
from gatelab.analysis.statistics.survival import Times, rescaled_scores

_TIE = 1e-9  # relative: what a shift makes equal but for rounding is a tie
Values = NDArray[np.float64]


class Outcome(NamedTuple):
    """A test of one difference.

    Attributes:
        direction: positive where the data lie above that difference, negative below; it falls as the difference rises.
        p: two-sided.
    """

    direction: float
    p: float


def inverted(test: Callable[[float], Outcome], places: Iterable[float], alpha: float, rejected: bool, least: float) -> Interval:
    """The differences that an exact test does not reject, as an interval.

    {d : p(d) >= alpha},  taken from the estimate outwards. p changes at some places only, so that it is computed at and between
    those that a bisection on either side asks for.

    Args:
        test: of a difference d.
        places: the differences at which the test can change.
        alpha: its level.
        rejected: whether the test of d = 0 rejects. It is not made again: however its p-value was drawn or adjusted, the interval
            then excludes 0, and else holds it.
        least: the smallest p that as many runs can have.

    Returns:
        The estimate, in the middle of the differences that the data do not contradict in either direction, and the bounds:
        infinite on a side where no difference is rejected, None where so few runs can reject none.

    References:
        E. L. Lehmann, J. P. Romano, "Testing statistical hypotheses", 3rd edition 2005, section 3.5 (confidence sets from tests).
    """
    edges = np.unique([0.0, *filter(math.isfinite, places)])
    # Point 0 lies before the first edge, 1 is at it, 2 between it and the second, and so on.
    before = np.concatenate([[-math.inf], np.repeat(edges, 2)])
    behind = np.concatenate([np.repeat(edges, 2), [math.inf]])
    points, zero = before.size, 2 * int(np.searchsorted(edges, 0.0)) + 1
    inside = np.concatenate([[edges[0] - 1], (before[1:-1] + behind[1:-1]) / 2, [edges[-1] + 1]])
    cache: dict[int, Outcome] = {}

    def at(point: int) -> Outcome:
        if point not in cache:
            cache[point] = test(float(inside[point]))
        return cache[point]

    def accepted(point: int) -> bool:
        return not rejected if point == zero else at(point).p >= alpha

    tie = _TIE * max(1.0, abs(at(0).direction), abs(at(points - 1).direction))
    first = _first(range(points), lambda point: at(point).direction <= tie)
    last = _first(range(first, points), lambda point: at(point).direction < -tie) - 1
    value = _middle(before[first] if first < points else math.inf, behind[max(first - 1, last)])
    start = min((first + max(first, last)) // 2, points - 1)
    lowest = zero + 1 if rejected and zero < start else 0
    highest = zero - 1 if rejected and zero > start else points - 1
    inner = (start, start) if rejected else (min(zero, start), max(zero, start))
    low_at = _first(range(lowest, inner[0]), accepted)
    high_at = highest - (_first(range(0, highest - inner[1]), lambda steps: accepted(highest - steps)))
    low, high = float(before[low_at]), float(behind[high_at])
    if rejected:  # an interval that is open at 0 does not hold it
        low, high = (_TIE * float(behind[low_at]) if low == 0 else low), (_TIE * float(before[high_at]) if high == 0 else high)
    return Interval(value, None, None) if least >= alpha else Interval(value, low, high)


def shift(x: Values, y: Values, alpha: float, rejected: bool) -> Interval:
    """How much larger x is than y: the exact rank test, inverted, with ties as they are; see `inverted`.

    Args:
        x, y: (n,), (m,); infinite values are the largest or smallest.

    References:
        H. B. Mann, D. R. Whitney, 1947; J. L. Hodges, E. L. Lehmann, 1963, as in `permutation`.
    """
    with np.errstate(invalid="ignore"):
        places = np.subtract.outer(x, y).ravel()
    grain = _grain(places)

    def test(d: float) -> Outcome:
        found = rank_test(_rounded(x - d, grain), _rounded(y, grain))
        return Outcome(found.statistic - x.size * y.size / 2, found.p)

    return inverted(test, places, alpha, rejected, least_p(x.size, y.size))


def centre(differences: Values, alpha: float, rejected: bool) -> Interval:
    """Where the differences of pairs lie: the exact test of Wilcoxon, inverted; see `inverted`.

    The test changes at the means of any two differences (Walsh).

    References:
        J. W. Tukey, "The simplest signed-rank tests", Memorandum Report 17, Statistical Research Group, Princeton, 1949. F.
        Wilcoxon, 1945, as in `permutation`.
    """
    with np.errstate(invalid="ignore"):
        places = (np.add.outer(differences, differences) / 2)[np.triu_indices(differences.size)]
    grain = _grain(places)

    def test(d: float) -> Outcome:
        found = signed_rank_test(_rounded(differences - d, grain))
        return Outcome(found.statistic, found.p)

    return inverted(test, places, alpha, rejected, 2.0 ** (1 - differences.size))


def time_ratio(x: Times, y: Times, until: float, alpha: float, rejected: bool) -> Interval:
    """By which factor the times of x are longer than those of y: the exact log-rank test, inverted; see `inverted`.

    If the first side needs r times as long as the second, its times divided by r are like those of the second. Both are then cut
    off at the shorter of their budgets, `until / r` and `until`, so that neither side is seen for longer. Some runs may never
    solve the task: as long as the share of them is the same on both sides, the interval is exact.

    Args:
        until: the budget of all runs.

    Returns:
        The ratio; infinite where only y solves the task, 0 where only x does. From 0 to infinity is an interval, too: with few
        runs that solve the task nothing may be known of the ratio.

    References:
        L. J. Wei, "The accelerated failure time model: a useful alternative to the Cox regression model in survival analysis",
        Statistics in Medicine 11, 1992. N. Mantel, 1966, as in `survival`.
    """

    def test(d: float) -> Outcome:
        scores, n = rescaled_scores(x, y, -d, (until, until))
        return Outcome(-float(scores[:n].sum()), two_sided(scores, n))

    logs = [np.log(np.maximum(np.asarray(side.times, dtype=float), math.exp(-700))) for side in (x, y)]
    places, least = np.subtract.outer(*logs).ravel(), least_p(*(side.size for side in logs))
    value, low, high = inverted(test, places, alpha, rejected, least)
    return Interval(_exp(value), *(None if end is None else _exp(end) for end in (low, high)))


def _exp(value: float) -> float:
    return math.inf if value > 700 else math.exp(value)


def _first(points: range, holds: Callable[[int], bool]) -> int:
    """The first point from which on something holds, or the end of the points."""
    low, high = points.start, points.stop
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def _middle(low: float, high: float) -> float:
    """The middle of two places; of infinite ones that which is, or 0 of both."""
    if math.isinf(low) and math.isinf(high):
        return 0.0
    return float((low + high) / 2)


def _grain(places: Values) -> float:
    known = np.abs(places[np.isfinite(places)])
    return _TIE * float(known.max(initial=0.0)) or 1.0


def _rounded(values: Values, grain: float) -> Values:
    return np.where(np.isfinite(values), np.round(values / grain) * grain, values)
