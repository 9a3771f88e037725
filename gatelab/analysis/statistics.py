"""Means over seeds and their uncertainty: pure functions on arrays."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

LEVEL = 0.95


class Interval(NamedTuple):
    """An estimate and the bounds of its confidence interval; the bounds are None where the data determine none."""

    value: float
    low: float | None
    high: float | None


def mean_interval(values: ArrayLike, level: float = LEVEL) -> Interval:
    """The mean and Student's t interval of it.

    mean +- t s / sqrt(n),  s^2 = sum (x - mean)^2 / (n - 1),  t the (1 + level) / 2 quantile of Student's t with n - 1 degrees of
    freedom. It covers the true mean with probability `level` if the values are independent and normal.

    Args:
        values: (n,), one value a seed.
        level: confidence, in (0, 1).

    Returns:
        The mean; no bounds for a single value, or when a value is nan or infinite.

    Raises:
        ValueError: there are no values.

    References:
        Student (W. S. Gosset), "The probable error of a mean", Biometrika 6, 1908.
    """
    mean, variance, n = _moments(values)
    if variance is None:
        return Interval(mean, None, None)
    half = _quantile(n - 1, level) * math.sqrt(variance / n)
    return Interval(mean, mean - half, mean + half)


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
    (mean_a, variance_a, n_a), (mean_b, variance_b, n_b) = _moments(a), _moments(b)
    difference = mean_a - mean_b
    if variance_a is None or variance_b is None:
        return Interval(difference, None, None)
    v_a, v_b = variance_a / n_a, variance_b / n_b
    if v_a + v_b == 0:
        return Interval(difference, difference, difference)
    share = v_a / (v_a + v_b)  # nu from shares: the squares of tiny variances would vanish
    nu = 1 / (share**2 / (n_a - 1) + (1 - share) ** 2 / (n_b - 1))
    half = _quantile(nu, level) * math.sqrt(v_a + v_b)
    return Interval(difference, difference - half, difference + half)


def _moments(values: ArrayLike) -> tuple[float, float | None, int]:
    """Mean, unbiased variance (None where there is none) and number of values."""
    x = np.asarray(values, dtype=float)
    if x.ndim != 1 or not x.size:
        raise ValueError(f"Values of shape (n,) with n >= 1 are needed, but the shape is {x.shape}.")
    with np.errstate(over="ignore", invalid="ignore"):  # a diverged seed is inf or nan, and so is the mean
        mean = float(x.mean())
        variance = float(x.var(ddof=1)) if x.size > 1 else math.nan
    return mean, variance if math.isfinite(variance) else None, x.size


def _quantile(degrees: float, level: float) -> float:
    """The two-sided quantile of Student's t."""
    return float(stdtrit(degrees, (1 + level) / 2))
