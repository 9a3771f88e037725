"""Times to solve against R's `survival`, SciPy, values computed by hand, and what the docstrings promise.

`aml` is the example of R's package `survival` (its help pages `aml` and `survdiff`, from R. G. Miller, "Survival Analysis", 1997):
weeks of remission of acute myelogenous leukaemia with and without maintenance chemotherapy.
"""

import math

import numpy as np
import pytest
from scipy import stats

from gatelab.analysis.statistics.intervals import Interval
from gatelab.analysis.statistics.survival import (
    Times,
    kaplan_meier,
    log_rank,
    median_time,
    restricted_mean,
    share_interval,
)

MAINTAINED = Times([9, 13, 13, 18, 23, 28, 31, 34, 45, 48, 161], [1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0])
NOT_MAINTAINED = Times([5, 5, 8, 8, 12, 16, 23, 27, 30, 33, 43, 45], [1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1])
BUDGET = 10.0


def test_curves_medians_and_restricted_means_of_aml_as_r_prints_them():
    # summary(survfit(Surv(time, status) ~ x, aml)) and print(..., rmean = "common"): medians 31 and 23, means to 161 52.6 and 22.7.
    curve = kaplan_meier(MAINTAINED)
    events = [1, 2, 3, 4, 6, 7, 9]
    assert curve.times[events].tolist() == [9, 13, 18, 23, 31, 34, 48]
    assert curve.at_risk[events].tolist() == [11, 10, 8, 7, 5, 4, 2]
    assert 1 - curve.share[events] == pytest.approx([0.909, 0.818, 0.716, 0.614, 0.491, 0.368, 0.184], abs=5e-4)
    assert curve.censored.tolist() == [13, 28, 45, 161]
    assert 1 - kaplan_meier(NOT_MAINTAINED).share[[1, 2, 3, 5]] == pytest.approx([0.8333, 0.6667, 0.5833, 0.4861], abs=5e-5)
    assert (median_time(MAINTAINED).value, median_time(NOT_MAINTAINED).value) == (31, 23)
    assert restricted_mean(MAINTAINED).value == pytest.approx(52.6, abs=0.05)
    assert restricted_mean(NOT_MAINTAINED, 161).value == pytest.approx(22.7, abs=0.05)


def test_log_rank_of_aml_as_r_prints_it():
    # survdiff(Surv(time, status) ~ x, aml): observed 7 and 11, expected 10.69 and 7.31, chi-square 3.4, p = 0.07.
    found = log_rank([(MAINTAINED, NOT_MAINTAINED)])
    assert (found.observed, found.expected) == (7, pytest.approx(10.69, abs=5e-3))
    assert found.chi_square == pytest.approx(3.4, abs=0.05)
    assert found.p == pytest.approx(0.07, abs=0.015)  # by permutation, where R's is from the chi-square distribution
    assert found == log_rank([(MAINTAINED, NOT_MAINTAINED)])  # the same are drawn again


def test_log_rank_against_scipy():
    rng = np.random.default_rng(0)
    for n_1, n_2 in ((3, 5), (8, 4), (12, 12)):
        one, other = (_drawn(rng, n, n / 10) for n in (n_1, n_2))
        found = log_rank([(one, other)])
        assert found.chi_square == pytest.approx(float(stats.logrank(_censored(one), _censored(other)).statistic ** 2))
        swapped = log_rank([(other, one)])
        assert swapped.observed - swapped.expected == pytest.approx(found.expected - found.observed)
        assert swapped.chi_square == pytest.approx(found.chi_square)


def test_the_p_value_counts_arrangements():
    # Of the 20 ways to divide six runs, two are as extreme as all of one side before all of the other.
    fast, slow = Times([1, 2, 3], [True] * 3), Times([4, 5, BUDGET], [True, True, False])
    assert log_rank([(fast, slow)]).p == pytest.approx(2 / 20)
    # Two settings: of the 400 pairs of ways, two; not the 4 by which both differ, but not in the same direction.
    assert log_rank([(fast, slow)] * 2).p == pytest.approx(2 / 400)
    assert log_rank([(fast, slow), (slow, fast)]).p == 1
    assert log_rank([(Times([1, 5, 6], [True] * 3), Times([2, 3, 4], [True] * 3))]).least == pytest.approx(2 / 20)


def test_the_p_value_is_that_of_scipys_permutation_test():
    rng = np.random.default_rng(1)
    one, other = _drawn(rng, 4, 0.5), _drawn(rng, 5, 2.0)

    def excess(x: np.ndarray, y: np.ndarray) -> float:
        result = log_rank([(_split(x), _split(y))])
        return abs(result.observed - result.expected)

    both = [np.where(sample.solved, sample.times, -np.asarray(sample.times)) for sample in (one, other)]
    expected = stats.permutation_test(both, excess, permutation_type="independent", alternative="greater", n_resamples=200)
    assert log_rank([(one, other)]).p == pytest.approx(expected.pvalue)


def test_nothing_is_decided_where_no_run_solves_the_task_or_all_do_at_once():
    for sample in (Times([BUDGET] * 3, [False] * 3), Times([1.0] * 3, [True] * 3)):
        found = log_rank([(sample, sample)])
        assert (found.p, found.least) == (1, 1)
    assert math.isnan(log_rank([(Times([BUDGET], [False]), Times([BUDGET], [False]))]).chi_square)


@pytest.mark.parametrize("solved", range(6))
def test_the_band_of_a_curve_is_clopper_and_pearsons_until_a_run_ends_unsolved(solved: int):
    times = np.where(np.arange(5) < solved, np.arange(1.0, 6.0), BUDGET)
    curve = kaplan_meier(Times(times, np.arange(5) < solved))
    for share, low, high in zip(curve.share, curve.low, curve.high, strict=True):
        assert (share, low, high) == pytest.approx(tuple(share_interval(round(5 * share), 5)))
    assert curve.share[-1] == pytest.approx(solved / 5)


def test_the_band_widens_where_runs_end_unsolved():
    # By hand: after one event of 4 runs and one that ended at 2, S is below Beta(4, 1) and above Beta(4, 1) Beta(2, 1).
    curve = kaplan_meier(Times([1.0, 2.0, 3.0, 3.0], [True, False, False, False]))
    at = curve.times.tolist().index(2.0)
    draws = np.random.default_rng(0).beta([4, 2], 1, size=(200_000, 2)).prod(axis=1)
    assert curve.low[at] == pytest.approx(1 - stats.beta(4, 1).ppf(0.975))
    assert curve.high[at] == pytest.approx(1 - np.quantile(draws, 0.025), abs=0.02)  # by moments, which is not exact
    assert curve.high[at] > curve.high[at - 1]


def test_median_by_hand():
    assert median_time(Times([3, 1, 2], [True] * 3)) == (2, None, None)
    assert median_time(Times([5, 1, 4, 2, 3], [True] * 5)) == (3, 1, 5)  # covers 1 - 2 / 2^5 = 0.9375
    assert median_time(Times([1, 2, BUDGET, BUDGET, BUDGET], [True, True, False, False, False])) == (math.inf, 1, math.inf)
    assert median_time(Times(range(1, 11), [True] * 10)) == (5, 2, 9)  # covers 1 - 22 / 2^10
    # A run that ended early may have been the next to solve the task, or may never do so.
    assert median_time(Times([1, 2, 3, 4, 5, 6], [False, *[True] * 5]))[1:] == (1, math.inf)


def test_restricted_mean_by_hand():
    sample = Times([2, 4, BUDGET, BUDGET], [True, True, False, False])
    assert restricted_mean(sample).value == pytest.approx((2 + 4 + 10 + 10) / 4)
    assert restricted_mean(sample, 3.0).value == pytest.approx((2 + 3 + 3 + 3) / 4)
    assert restricted_mean(Times([2, 4], [True] * 2), BUDGET) == (3, None, None)


def test_the_interval_of_a_restricted_mean_of_two_values_is_jeffreys():
    # Three of five at the end and two at 0: the mean is the share, whose posterior is Beta(3.5, 2.5).
    _, low, high = restricted_mean(Times([0, 0, 1, 1, 1], [True, True, False, False, False]))
    assert (low, high) == pytest.approx(stats.beta(3.5, 2.5).ppf([0.025, 0.975]), abs=0.01)


def test_the_interval_of_a_restricted_mean_holds_it_where_all_runs_agree_on_an_end():
    value, low, high = restricted_mean(Times([BUDGET] * 5, [False] * 5))
    assert (value, high) == (BUDGET, BUDGET)
    assert low == pytest.approx(BUDGET * stats.beta(5.5, 0.5).ppf(0.025), rel=0.02)
    assert restricted_mean(Times([0.0] * 5, [True] * 5), BUDGET)[:2] == (0, 0)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (Times([], []), "shape"),
        (Times([1.0, 2.0], [True]), "shape"),
        (Times([math.nan], [False]), "finite"),
        (Times([-1.0], [True]), "not negative"),
    ],
)
def test_times_that_are_none_are_refused(sample: Times, message: str):
    for function in (kaplan_meier, median_time, restricted_mean, lambda one: log_rank([(one, Times([1.0], [True]))])):
        with pytest.raises(ValueError, match=message):
            function(sample)


def test_a_mean_cannot_be_restricted_to_a_time_that_nothing_is_known_of():
    with pytest.raises(ValueError, match="restricted to 11"):
        restricted_mean(Times([1, 10], [True, False]), 11)
    with pytest.raises(ValueError, match="at least one pair"):
        log_rank([])


@pytest.mark.slow
@pytest.mark.parametrize(("n", "solving"), [(3, 0.5), (5, 0.67), (5, 0.9), (10, 0.9), (10, 1.0)])
def test_coverage_of_restricted_mean_and_median(n: int, solving: float):
    # 200 repetitions at 95%: a standard error of 1.5%, so that the interval must hold the truth in at least 90% of them.
    rng = np.random.default_rng(n)
    many = _drawn(rng, 400_000, 1.0, solving, beyond=0.1)
    truths = float(np.asarray(many.times, dtype=float).mean()), float(np.median(np.where(many.solved, many.times, np.inf)))
    hits = np.zeros(2)
    for _ in range(200):
        sample = _drawn(rng, n, 1.0, solving, beyond=0.1)
        intervals = restricted_mean(sample, BUDGET), median_time(sample)
        hits += [_holds(interval, truth) for interval, truth in zip(intervals, truths, strict=True)]
    assert hits[0] / 200 >= 0.9
    assert hits[1] / 200 >= (0.9 if n >= 5 else 0)


@pytest.mark.slow
def test_the_log_rank_test_keeps_its_level_and_has_power():
    rng = np.random.default_rng(0)
    false = found = 0
    for _ in range(300):
        false += log_rank([(_drawn(rng, 5, 1.0, 0.67), _drawn(rng, 5, 1.0, 0.67))]).p < 0.05
        found += log_rank([(_drawn(rng, 5, 0.2), _drawn(rng, 5, 1.0, 0.67))]).p < 0.05
    assert false / 300 <= 0.09  # 0.05 and three standard errors
    assert found / 300 >= 0.6


def _drawn(rng: np.random.Generator, n: int, scale: float, solving: float = 1.0, beyond: float = 0.2) -> Times:
    """Lognormal times, a share of which lies beyond the budget, of runs that solve the task with a probability."""
    median = BUDGET / math.exp(stats.norm.ppf(1 - beyond))
    times = np.where(rng.random(n) < solving, scale * median * np.exp(rng.normal(size=n)), np.inf)
    return Times(np.minimum(times, BUDGET), times < BUDGET)


def _holds(interval: Interval, truth: float) -> bool:
    _, low, high = interval
    return low is not None and high is not None and low <= truth <= high


def _censored(sample: Times) -> stats.CensoredData:
    times, solved = np.asarray(sample.times), np.asarray(sample.solved)
    return stats.CensoredData(uncensored=times[solved], right=times[~solved])


def _split(signed: np.ndarray) -> Times:
    return Times(np.abs(signed), signed > 0)
