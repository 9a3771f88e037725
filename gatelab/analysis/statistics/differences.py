"""What differs between two samples of scores, by how much, and what could have been seen: pure functions on arrays."""

import dataclasses
import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special, stats

from gatelab.analysis.statistics.effects import hedges_g, power, probability_of_improvement, seeds_needed, smallest_difference
from gatelab.analysis.statistics.intervals import LEVEL, Interval, failures_last, moments, quantile, varies

PAIRED, WELCH, RANKS = "paired t", "Welch t", "Mann-Whitney"


class Sample(NamedTuple):
    """The scores of one variant on one task.

    Attributes:
        scores: (n,), one a seed; nan or infinite for a diverged one.
        seeds: (n,), what each run was seeded with; empty when that is not known.
    """

    scores: Sequence[float]
    seeds: Sequence[Hashable] = ()


@dataclass(frozen=True)
class Difference:
    """How a variant differs from a baseline on one task. None stands for what the data do not determine.

    Attributes:
        size: mean(variant) - mean(baseline) in the unit of the score, and its interval, not adjusted.
        test: "paired t", "Welch t", "Mann-Whitney", or "" when there is none (a single seed).
        p: two-sided; `p_adjusted`: Holm's, over the comparisons with the same baseline.
        better: whether the variant is better (True) or worse (False); None when p_adjusted says neither.
        improvement: the probability that a run of the variant beats a run of the baseline.
        effect: Hedges' g, with the sign of `size`.
        detectable: the smallest difference that this many seeds show with a probability of 80%.
        power: the probability that this many seeds show a difference as large as the one observed.
        seeds_needed: seeds of each side that would show it with a probability of 80%.
        n, baseline_n: seeds of each side; `failures`, `baseline_failures`: how many of them diverged.
    """

    size: Interval
    test: str
    p: float | None
    p_adjusted: float | None
    better: bool | None
    improvement: Interval
    effect: Interval
    detectable: float | None
    power: float | None
    seeds_needed: int | None
    n: int
    baseline_n: int
    failures: int
    baseline_failures: int


def differences(pairs: Sequence[tuple[Sample, Sample]], higher_is_better: bool, level: float = LEVEL) -> list[Difference]:
    """Compares variants with their baseline on one task; p-values are adjusted over all of them after Holm.

    Which test: Student's t on the differences of equal seeds when both sides have the same set of seeds, else Welch's. Where a seed
    diverged, or nothing varies so that t is not defined, the exact Mann-Whitney test on ranks, with failures last.
    `detectable`, `power` and `seeds_needed` are for p < (1 - level) / number of tests, the hardest of Holm's steps.

    Args:
        pairs: (variant, baseline) for each comparison, mostly with one and the same baseline.
        higher_is_better: the direction of the score.
        level: confidence; a variant counts as different when its adjusted p is below 1 - level.

    Returns:
        One difference for each pair, in order.

    Raises:
        ValueError: a sample has no scores, or another number of seeds than scores.
    """
    tests = sum(min(len(variant.scores), len(baseline.scores)) > 1 for variant, baseline in pairs)
    alpha = (1 - level) / max(1, tests)
    single = [_difference(variant, baseline, higher_is_better, level, alpha) for variant, baseline in pairs]
    adjusted = holm([item.p for item in single])
    return [
        dataclasses.replace(item, p_adjusted=p, better=_better(item, p, higher_is_better, level))
        for item, p in zip(single, adjusted, strict=True)
    ]


def welch_interval(a: ArrayLike, b: ArrayLike, level: float = LEVEL) -> Interval:
    """The difference mean(a) - mean(b) and Welch's interval of it; the two variances may differ.

    d +- t sqrt(v_a + v_b),  v = s^2 / n,  t with the degrees of freedom of Welch and Satterthwaite,
    nu = (v_a + v_b)^2 / (v_a^2 / (n_a - 1) + v_b^2 / (n_b - 1)).

    Args:
        a: (n_a,), one value a seed.
        b: (n_b,), one value a seed.
        level: confidence, in (0, 1).

    Returns:
        The difference; no bounds when a side has a single value, or when a value is nan or infinite. Where neither side varies
        the interval is the difference itself, its limit for vanishing variances.

    Raises:
        ValueError: a side has no values.

    References:
        B. L. Welch, "The generalization of 'Student's' problem when several different population variances are involved",
        Biometrika 34, 1947. F. E. Satterthwaite, "An approximate distribution of estimates of variance components",
        Biometrics Bulletin 2, 1946 (the degrees of freedom).
    """
    return interval_of(_welch(a, b), level)


def paired_interval(a: ArrayLike, b: ArrayLike, level: float = LEVEL) -> Interval:
    """The mean of a - b and Student's t interval of it: what the pairs share (the data of a seed) cancels.

    Args:
        a, b: (n,), of the same seeds in the same order.
        level: confidence, in (0, 1).

    Raises:
        ValueError: the sides differ in number, or have no values.

    References:
        Student, Biometrika 6, 1908.
    """
    return interval_of(_paired(a, b), level)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment: with adjusted p < alpha, at most alpha of all families hold a false finding.

    p_(k) of m, in rising order, becomes max over j <= k of min(1, (m - j + 1) p_(j)). Valid for dependent tests, as those against
    one baseline are. None (no test) stays None and is not counted.

    References:
        S. Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal of Statistics 6, 1979.
    """
    order = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p))
        adjusted[index] = largest
    return adjusted


def rank_test(a: ArrayLike, b: ArrayLike, higher_is_better: bool) -> float:
    """The two-sided p-value of the exact Mann-Whitney test, with failures last.

    Up to 10,000 ways to divide the runs all are counted, ties included; beyond, 9,999 are drawn, always the same.

    References:
        H. B. Mann, D. R. Whitney, "On a test of whether one of two random variables is stochastically larger than the other",
        Annals of Mathematical Statistics 18, 1947.
    """
    x, y = failures_last(a, higher_is_better), failures_last(b, higher_is_better)
    method = stats.PermutationMethod(n_resamples=9_999, rng=np.random.default_rng(0))
    return float(stats.mannwhitneyu(x, y, method=method).pvalue)  # type: ignore[arg-type] - SciPy documents it


class Spread(NamedTuple):
    """A difference with what a t test on it needs; no standard error when the data determine none."""

    value: float
    standard_error: float | None
    degrees: float


def spread_of(variant: Sample, baseline: Sample) -> Spread:
    """mean(variant) - mean(baseline), of pairs where both have the same seeds, else after Welch."""
    pair = _pair(variant, baseline)
    return _welch(_scores(variant), _scores(baseline)) if pair is None else _paired(*pair)


def _difference(variant: Sample, baseline: Sample, higher_is_better: bool, level: float, alpha: float) -> Difference:
    """One comparison, its p-value not yet adjusted; detectable differences at level alpha."""
    a, b = _scores(variant), _scores(baseline)
    failures = [int((~np.isfinite(x)).sum()) for x in (a, b)]
    pair = _pair(variant, baseline)
    spread = spread_of(variant, baseline)
    value, error, degrees = spread
    test, p, interval = "", None, Interval(value, None, None)
    seen = found = needed = None
    if error:
        test, interval = WELCH if pair is None else PAIRED, interval_of(spread, level)
        p = 2 * float(special.stdtr(degrees, -abs(value) / error))
        seen = smallest_difference(error, degrees, alpha)
        found = power(value, error, degrees, alpha)
        needed = seeds_needed(value, error, degrees, min(a.size, b.size), alpha)
    elif min(a.size, b.size) > 1:
        test, p = RANKS, rank_test(a, b, higher_is_better)
    return Difference(
        interval,
        test=test,
        p=p,
        p_adjusted=None,
        better=None,
        improvement=probability_of_improvement(a, b, higher_is_better, level),
        effect=hedges_g(a, b, level),
        detectable=seen,
        power=found,
        seeds_needed=needed,
        n=a.size,
        baseline_n=b.size,
        failures=failures[0],
        baseline_failures=failures[1],
    )


def _better(item: Difference, p: float | None, higher_is_better: bool, level: float) -> bool | None:
    if p is None or p >= 1 - level:
        return None
    return item.improvement.value > 0.5 if item.test == RANKS else (item.size.value > 0) == higher_is_better


def _scores(sample: Sample) -> NDArray[np.float64]:
    x = np.asarray(sample.scores, dtype=float)
    if x.ndim != 1 or not x.size:
        raise ValueError(f"Scores of shape (n,) with n >= 1 are needed, but the shape is {x.shape}.")
    if sample.seeds and len(sample.seeds) != x.size:
        raise ValueError(f"There are {x.size} scores of {len(sample.seeds)} seeds.")
    return x


def _pair(variant: Sample, baseline: Sample) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The scores of both in the order of the seeds, if these are the same set."""
    a, b = dict(zip(variant.seeds, variant.scores, strict=False)), dict(zip(baseline.seeds, baseline.scores, strict=False))
    repeated = len(a) < len(variant.scores) or len(b) < len(baseline.scores)
    if repeated or a.keys() != b.keys() or len(a) < 2:
        return None
    return np.array([*a.values()], dtype=float), np.array([b[seed] for seed in a], dtype=float)


def _welch(a: ArrayLike, b: ArrayLike) -> Spread:
    (mean_a, variance_a, n_a), (mean_b, variance_b, n_b) = moments(a), moments(b)
    with np.errstate(invalid="ignore"):
        difference = mean_a - mean_b
    if variance_a is None or variance_b is None:
        return Spread(difference, None, math.nan)
    v_a, v_b = variance_a / n_a, variance_b / n_b
    if not varies(v_a + v_b, mean_a, mean_b):
        return Spread(difference, 0.0, math.nan)
    share = v_a / (v_a + v_b)  # nu from shares: the squares of tiny variances would vanish
    return Spread(difference, math.sqrt(v_a + v_b), 1 / (share**2 / (n_a - 1) + (1 - share) ** 2 / (n_b - 1)))


def _paired(a: ArrayLike, b: ArrayLike) -> Spread:
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if x.shape != y.shape:
        raise ValueError(f"Pairs need as many values on one side as on the other, but the shapes are {x.shape} and {y.shape}.")
    with np.errstate(invalid="ignore"):
        difference, variance, n = moments(x - y)
    if variance is None:
        return Spread(difference, None, math.nan)
    spread = math.sqrt(variance / n) if varies(variance, *map(float, (*x, *y))) else 0.0
    return Spread(difference, spread, n - 1)


def interval_of(spread: Spread, level: float = LEVEL) -> Interval:
    """Student's t interval of a difference; no bounds without a standard error."""
    if spread.standard_error is None:
        return Interval(spread.value, None, None)
    half = quantile(spread.degrees, level) * spread.standard_error if spread.standard_error else 0.0
    return Interval(spread.value, spread.value - half, spread.value + half)
