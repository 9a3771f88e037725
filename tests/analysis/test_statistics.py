"""The intervals against scipy, against values computed by hand, and against what they promise: coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from gatelab.analysis.differences import welch_interval
from gatelab.analysis.statistics import mean_interval


def test_mean_interval_by_hand():
    # mean 2, s = 1, n = 3; the 0.975 quantile of Student's t with 2 degrees of freedom is 4.302653 (any table).
    interval = mean_interval([1.0, 2.0, 3.0])
    half = 4.302653 / math.sqrt(3)
    assert interval == pytest.approx((2.0, 2.0 - half, 2.0 + half), rel=1e-6)


def test_welch_interval_by_hand():
    # means 2 and 6, variances 1 and 4, n = 3 and 3: v = 1/3 and 4/3, nu = (5/3)^2 / ((1/9 + 16/9) / 2) = 2.941176.
    interval = welch_interval([1.0, 2.0, 3.0], [4.0, 6.0, 8.0])
    half = stats.t.ppf(0.975, 2.9411764705882355) * math.sqrt(5 / 3)
    assert interval == pytest.approx((-4.0, -4.0 - half, -4.0 + half), rel=1e-12)


@pytest.mark.parametrize("level", [0.5, 0.95, 0.99])
@pytest.mark.parametrize(("n_a", "n_b", "scale"), [(2, 2, 1.0), (3, 10, 5.0), (10, 4, 1e-9), (30, 30, 1e50)])
def test_intervals_against_scipy(n_a: int, n_b: int, scale: float, level: float):
    rng = np.random.default_rng(n_a)
    a, b = rng.normal(1.0, 1.0, n_a), rng.normal(0.0, scale, n_b)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(level)
    assert welch_interval(a, b, level)[1:] == pytest.approx((expected.low, expected.high), rel=1e-9)
    expected = stats.ttest_1samp(b, 0.0).confidence_interval(level)
    assert mean_interval(b, level)[1:] == pytest.approx((expected.low, expected.high), rel=1e-9)


def test_swapping_the_sides_mirrors_the_interval():
    a, b = [1.0, 2.0, 4.0], [0.5, 0.7]
    forth, back = welch_interval(a, b), welch_interval(b, a)
    assert forth.low is not None
    assert back.low is not None
    assert (forth.value, forth.low, forth.high) == pytest.approx((-back.value, -back.high, -back.low))  # type: ignore[operator]


def test_one_value_has_no_interval():
    assert mean_interval([0.25]) == (0.25, None, None)
    assert welch_interval([0.25], [1.0, 2.0]) == (-1.25, None, None)
    assert welch_interval([1.0, 2.0], [0.25]) == (1.25, None, None)


def test_equal_values_have_an_interval_of_no_width():
    assert mean_interval([0.5, 0.5]) == (0.5, 0.5, 0.5)
    assert welch_interval([0.5, 0.5], [0.25, 0.25, 0.25]) == (0.25, 0.25, 0.25)


def test_one_side_without_variance_has_the_degrees_of_freedom_of_the_other():
    interval = welch_interval([1.0, 2.0, 3.0], [0.0, 0.0])
    assert interval == pytest.approx(mean_interval([1.0, 2.0, 3.0]))


def test_values_that_are_not_finite_have_no_interval():
    mean, low, high = mean_interval([1.0, math.nan])
    assert math.isnan(mean)
    assert (low, high) == (None, None)
    assert mean_interval([1.0, math.inf]) == (math.inf, None, None)
    assert math.isnan(mean_interval([math.inf, -math.inf]).value)
    assert welch_interval([1.0, math.inf], [1.0, 2.0])[1:] == (None, None)
    assert mean_interval([1e300, -1e300]) == (0.0, None, None)  # the variance is beyond what a double holds


@pytest.mark.parametrize("values", [[], [[1.0, 2.0]], 1.0])
def test_wrong_shapes_are_refused(values):
    with pytest.raises(ValueError, match="shape"):
        mean_interval(values)


def test_coverage():
    # 2,000 repetitions at 95%: a standard error of 0.5%, so that a band of 4 of them is 0.93 to 0.97.
    rng = np.random.default_rng(0)
    means = differences = 0
    for _ in range(2000):
        a, b = rng.normal(1.0, 1.0, 5), rng.normal(0.0, 3.0, 8)
        _, low, high = mean_interval(a)
        means += low < 1.0 < high
        _, low, high = welch_interval(a, b)
        differences += low < 1.0 < high
    assert means / 2000 == pytest.approx(0.95, abs=0.02)
    assert differences / 2000 == pytest.approx(0.95, abs=0.02)
