"""The difference of two means with Student's t: of pairs, or of two samples whose variances may differ (Welch)."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from gatelab.analysis.statistics.intervals import LEVEL, Interval, moments, quantile, varies


class Spread(NamedTuple):
    """A difference with what a t test on it needs; no standard error when the data determine none."""

    value: float
    standard_error: float | None
    degrees: float

    @property
    def t(self) -> float:
        """The value in standard errors; only where it has one."""
        assert self.standard_error
        return self.value / self.standard_error

    @property
    def p(self) -> float:
        """Two-sided, of Student's t."""
        return 2 * float(special.stdtr(self.degrees, -abs(self.t)))


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
    return interval_of(spread_of_samples(a, b), level)


def interval_of(spread: Spread, level: float = LEVEL) -> Interval:
    """Student's t interval of a difference; no bounds without a standard error."""
    if spread.standard_error is None:
        return Interval(spread.value, None, None)
    half = quantile(spread.degrees, level) * spread.standard_error if spread.standard_error else 0.0
    return Interval(spread.value, spread.value - half, spread.value + half)


def spread_of_samples(a: ArrayLike, b: ArrayLike) -> Spread:
    """mean(a) - mean(b) and its standard error, with the degrees of freedom of Welch and Satterthwaite; see `welch_interval`."""
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


def spread_of_pairs(a: ArrayLike, b: ArrayLike) -> Spread:
    """The mean of a - b and its standard error: what the pairs share cancels (Student 1908).

    Raises:
        ValueError: the sides differ in number, or have no values.
    """
    x, y = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if x.shape != y.shape:
        raise ValueError(f"Pairs need as many values on one side as on the other, but the shapes are {x.shape} and {y.shape}.")
    with np.errstate(invalid="ignore"):
        difference, variance, n = moments(x - y)
    if variance is None:
        return Spread(difference, None, math.nan)
    spread = math.sqrt(variance / n) if varies(variance, *map(float, (*x, *y))) else 0.0
    return Spread(difference, spread, n - 1)
