"""How large a difference is and how large it would have to be: effect sizes and power, pure functions on arrays."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize, special, stats

from gatelab.analysis.statistics.intervals import LEVEL, Interval, failures_last, moments, varies

_FEWEST = 4  # runs of each side for an interval of the probability to win
_FAR = 1000.0
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(80)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


def probability_of_improvement(a: ArrayLike, b: ArrayLike, higher_is_better: bool, level: float = LEVEL) -> Interval:
    """The probability that a run of `a` beats a run of `b`, ties counted by half, and Newcombe's interval of it.

    U / (n_a n_b), U the Mann-Whitney statistic. The interval holds every theta with
    |estimate - theta| <= z sqrt(theta (1 - theta) (1 + N ((1 - theta) / (2 - theta) + theta / (1 + theta))) / (n_a n_b)),
    N = (n_a + n_b) / 2 - 1. Unlike a bootstrap it has a width where all of `a` beat all of `b`. Simulated
    coverage at 0.95: .92 to .97 for 5 and 10 runs of each side, normal, lognormal or in two clusters, standard deviations up to
    1 : 3; .86 to .97 for 3.

    Args:
        a, b: (n_a,), (n_b,), one score a seed; diverged seeds lose against all others and tie among themselves.
        higher_is_better: the direction of the scores.
        level: confidence, in (0, 1).

    Returns:
        The estimate; no bounds when a side has fewer than four values.

    References:
        Agarwal et al. 2021, section 4.3 (the use). R. G. Newcombe, "Confidence intervals for an effect size measure based on the
        Mann-Whitney statistic. Part 2", Statistics in Medicine 25, 2006 (method 5).
    """
    x, y = failures_last(a, higher_is_better), failures_last(b, higher_is_better)
    value = _wins(x, y, higher_is_better)
    if min(x.size, y.size) < _FEWEST:
        return Interval(value, None, None)
    z2, N = float(special.ndtri((1 + level) / 2)) ** 2, (x.size + y.size) / 2 - 1

    def excess(theta: float) -> float:
        spread = 1 + N * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (value - theta) ** 2 - z2 * theta * (1 - theta) * spread / (x.size * y.size)

    low = 0.0 if value == 0 else _root(excess, 0.0, min(value, 1 - 1e-9))  # 1 is a root of its own
    high = 1.0 if value == 1 else _root(excess, max(value, 1e-9), 1.0)
    return Interval(value, low, high)


def hedges_g(a: ArrayLike, b: ArrayLike, level: float = LEVEL) -> Interval:
    """The difference of the means in standard deviations, without bias, and its exact interval for equal variances.

    g = J(nu) (mean(a) - mean(b)) / s,  s^2 the pooled variance,  nu = n_a + n_b - 2,
    J(nu) = Gamma(nu / 2) / (sqrt(nu / 2) Gamma((nu - 1) / 2)). The bounds are those noncentralities of t that leave
    (1 - level) / 2 on each side. Also of paired samples, where the pairing is not used.

    Args:
        a, b: (n_a,), (n_b,), one score a seed.
        level: confidence, in (0, 1).

    Returns:
        The effect; nan without bounds when a seed diverged, a side has a single value or nothing varies.

    References:
        L. V. Hedges, "Distribution theory for Glass's estimator of effect size and related estimators", Journal of Educational
        Statistics 6, 1981. J. H. Steiger, R. T. Fouladi, "Noncentrality interval estimation and the evaluation of statistical
        models", in "What if there were no significance tests?", 1997 (the interval).
    """
    (mean_a, variance_a, n_a), (mean_b, variance_b, n_b) = moments(a), moments(b)
    if variance_a is None or variance_b is None or not varies(variance_a + variance_b, mean_a, mean_b):
        return Interval(math.nan, None, None)
    nu = n_a + n_b - 2
    pooled = math.sqrt(((n_a - 1) * variance_a + (n_b - 1) * variance_b) / nu)
    scale = math.sqrt(1 / n_a + 1 / n_b)
    t = (mean_a - mean_b) / pooled / scale
    correction = math.exp(special.gammaln(nu / 2) - special.gammaln((nu - 1) / 2)) / math.sqrt(nu / 2) if nu > 1 else math.nan
    bounds = (correction * scale * _noncentrality(t, nu, share) for share in ((1 + level) / 2, (1 - level) / 2))
    return Interval(correction * scale * t, *bounds)


def _wins(x: NDArray[np.float64], y: NDArray[np.float64], higher_is_better: bool) -> float:
    """The share of pairs in which x beats y, ties counted by half."""
    rows, columns = (x[:, None], y[None, :]) if higher_is_better else (-x[:, None], -y[None, :])
    return float(np.mean((rows > columns) + 0.5 * (rows == columns)))


def _noncentrality(t: float, degrees: float, share: float) -> float:
    """The noncentrality at which noncentral t is below t with this probability."""
    if t < 0:
        return -_noncentrality(-t, degrees, 1 - share)

    def excess(shift: float) -> float:
        return _below(t, degrees, shift) - share

    width = 1.0
    while excess(t - width) < 0 or excess(t + width) > 0:
        width *= 2
    return _root(excess, t - width, t + width)


def _below(t: float, degrees: float, shift: float) -> float:
    """P(T <= t) of noncentral t, at t >= 0.

    T = (Z + shift) / s with s^2 = chi^2 / degrees. SciPy is exact to 1e-11 up to t = 1000, worse beyond, and wrong at 1e6. From
    there on this is the expectation of P(s >= (Z + shift) / t) over Z, which is smooth on the scale of Z: Gauss's quadrature
    is exact to 1e-6 at one degree of freedom and to 1e-15 from two on (measured against adaptive integration).
    """
    if t < _FAR:
        return float(stats.nct.cdf(t, degrees, shift))
    s = np.maximum(_NODES + shift, 0) / t
    return float(_WEIGHTS @ special.chdtrc(degrees, degrees * s**2))


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    return float(optimize.root_scalar(function, bracket=(low, high)).root)
