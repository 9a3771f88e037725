"""The intervals against scipy, against values computed by hand, and against what they promise: coverage."""

import math

import numpy as np
import pytest
from scipy import stats

from gatelab.analysis.statistics.intervals import (
    Interval,
    difference_of,
    failures_last,
    interquartile_mean,
    mean_interval,
    median_interval,
    normalised,
    performance_profile,
    small_n,
)
from gatelab.analysis.statistics.means import welch_interval
from gatelab.analysis.statistics.survival import share_interval


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


def test_equal_values_say_nothing_of_how_far_off_they_are():
    assert mean_interval([0.5, 0.5]) == (0.5, None, None)
    assert mean_interval([0.3, 0.1 + 0.2, 0.3])[1:] == (None, None)  # rounding is no variance
    assert welch_interval([0.5, 0.5], [0.25, 0.25, 0.25]) == (0.25, 0.25, 0.25)


def test_one_side_without_variance_has_the_degrees_of_freedom_of_the_other():
    interval = welch_interval([1.0, 2.0, 3.0], [0.0, 0.0])
    assert interval == pytest.approx(mean_interval([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(("n", "k", "covered"), [(5, 1, 0.9375), (6, 1, 0.96875), (10, 2, 0.978516), (20, 6, 0.958611)])
def test_medians_have_the_interval_of_printed_tables(n: int, k: int, covered: float):
    x = np.random.default_rng(n).permutation(n) + 1.0
    assert median_interval(x) == ((n + 1) / 2, k, n + 1 - k)
    assert 1 - 2 * stats.binom.cdf(k - 1, n, 0.5) == pytest.approx(covered, abs=1e-6)


def test_medians_without_an_interval():
    assert median_interval([4.0, 1.0, 2.0, 3.0]) == (2.5, None, None)
    assert median_interval([1.0, math.inf, math.inf, 2.0, math.inf]) == (math.inf, 1.0, math.inf)
    assert math.isnan(median_interval([1.0, math.nan, 2.0]).value)
    with pytest.raises(ValueError, match="shape"):
        median_interval([])


def test_the_difference_of_two_estimates():
    # Newcombe 1998, method 10 with exact intervals in place of Wilson's; by hand from the two.
    a, b = share_interval(4, 5), share_interval(1, 5)
    assert None not in (*a, *b)
    low = 0.6 - math.hypot(0.8 - a[1], b[2] - 0.2)  # type: ignore[operator]
    high = 0.6 + math.hypot(a[2] - 0.8, 0.2 - b[1])  # type: ignore[operator]
    assert difference_of(a, b) == pytest.approx((0.6, low, high))
    assert difference_of(a, Interval(0.2, None, None)) == (pytest.approx(0.6), None, None)


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
        assert low is not None and high is not None
        means += low < 1.0 < high
        _, low, high = welch_interval(a, b)
        assert low is not None and high is not None
        differences += low < 1.0 < high
    assert means / 2000 == pytest.approx(0.95, abs=0.02)
    assert differences / 2000 == pytest.approx(0.95, abs=0.02)


def test_failures_are_the_worst_there_can_be():
    assert failures_last([1.0, math.nan, math.inf, -math.inf], True).tolist() == [1.0, *[-math.inf] * 3]
    assert failures_last([1.0, math.nan, math.inf, -math.inf], False).tolist() == [1.0, *[math.inf] * 3]


def test_normalised_by_hand():
    # mse: chance 0.2, solved 0.1; a score of 0.15 is half way, whatever is done beyond solved goes on.
    assert normalised([0.2, 0.15, 0.1, 0.0, math.nan], 0.2, 0.1, False) == pytest.approx([0.0, 0.5, 1.0, 2.0, -math.inf])
    assert normalised([0.1, 0.55, 1.0, math.nan], 0.1, 1.0, True) == pytest.approx([0.0, 0.5, 1.0, -math.inf])
    with pytest.raises(ValueError, match="normalised"):
        normalised([0.5], 0.1, 0.1, True)


def test_interquartile_mean_by_hand():
    assert interquartile_mean([8.0, 1.0, 2.0, 100.0]) == 5.0  # the best and the worst of four are left out
    assert interquartile_mean([[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0]]) == 4.5  # two of eight on each side
    assert interquartile_mean([1.0, 2.0, 6.0]) == 3.0
    assert interquartile_mean([1.0, 2.0, 3.0, math.inf]) == 2.5  # one failure of four is in the worst quarter
    assert interquartile_mean([1.0, 2.0, math.inf, math.inf]) == math.inf
    with pytest.raises(ValueError, match="no values"):
        interquartile_mean([])


def test_performance_profile_by_hand():
    # Task 1: two of three above 0.25; task 2: one of two. Each task weighs one half.
    profile = performance_profile([[0.1, 0.5, 0.9], [-math.inf, 1.0]], [-1.0, 0.25, 0.95, 2.0])
    assert profile.share == pytest.approx([(1 + 1 / 2) / 2, (2 / 3 + 1 / 2) / 2, (0 + 1 / 2) / 2, 0.0])
    assert (profile.low <= profile.share).all()
    assert (profile.share <= profile.high).all()
    assert profile.low[-1] == 0.0
    assert profile.high[-1] == pytest.approx(1 - 0.025 ** (1 / 4.8))  # weights 1/6 and 1/4 are those of 4.8 equal runs
    even = performance_profile([[0.1, 0.5], [0.7, 1.0]], [0.6])
    assert (even.low[0], even.high[0]) == pytest.approx(share_interval(2, 4)[1:])


@pytest.mark.parametrize(
    ("counts", "said"),
    [([5, 9], ""), ([4, 9], "With 4 seeds"), ([1], "With 1 seed there is neither an interval nor a test"), ([0], "0 seeds")],
)
def test_few_seeds_are_said(counts: list[int], said: str):
    sentence = small_n(counts)
    assert said in sentence
    assert bool(said) == bool(sentence)
