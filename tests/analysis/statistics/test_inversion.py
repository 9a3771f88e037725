"""Intervals of exact tests: they hold what the test does not reject, and agree with what it decides."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gatelab.analysis.statistics.differences import Difference, Family, Sample, differences
from gatelab.analysis.statistics.inversion import Outcome, centre, inverted, shift, time_ratio
from gatelab.analysis.statistics.permutation import least_p, shift_interval
from gatelab.analysis.statistics.scales import Axis
from gatelab.analysis.statistics.survival import Times, log_rank


def agrees(found: Difference) -> bool:
    """Whether the adjusted interval excludes no difference exactly where the adjusted test finds one."""
    low, high = found.simultaneous[1:]
    nothing = 0.0 if found.measure == "difference" else 1.0
    excluded = low is not None and high is not None and (low > nothing or high < nothing)
    return excluded == (found.better is not None)


def solving(times: list[float]) -> Sample:
    """Runs with these times to solve; 900 never."""
    return Sample([time / 1e4 for time in times], range(len(times)), Times(times, [time < 900 for time in times]))


def runs(rng: np.random.Generator, n: int, pace: float) -> list[float]:
    """Times at validations, with ties; a run of four never solves the task."""
    steps = 50 * np.ceil(400 * pace * np.exp(0.3 * rng.standard_normal(n)) / 50)
    return [float(time) for time in np.where((steps < 900) & (rng.random(n) < 0.75), steps, 900)]


@pytest.mark.parametrize("until", [900, None])
@pytest.mark.parametrize("paired", [False, True])
def test_intervals_and_tests_agree(until: float | None, paired: bool):
    rng = np.random.default_rng(7)
    decided = set()
    for n in (4, 5, 6):
        for pace in (0.3, 0.5, 0.7, 1.0):
            variants = [solving(runs(rng, n, pace)) for _ in range(2)]
            family = Family(solving(runs(rng, n, 1.0)), variants, False, Axis("log"), until=until)
            for found in differences([family], paired=paired)[0]:
                assert agrees(found), found
                decided.add(found.better)
    assert None in decided
    assert True in decided or paired  # ten pairs would decide


def test_one_that_decides_and_one_that_does_not():
    slow = solving([500, 550, 600, 700, 750, 900])
    fast, alike, never = solving([300, 300, 350, 350, 350, 300]), solving([450, 550, 650, 700, 800, 900]), solving([900] * 6)
    (found,) = differences([Family(slow, [fast, alike, never], False, Axis("log"), until=900)])
    assert [item.better for item in found] == [True, None, False]
    (low, high), (other_low, other_high) = (item.simultaneous[1:] for item in found[:2])
    assert low is not None
    assert high is not None
    assert other_low is not None
    assert other_high is not None
    assert low < 0.5 < high < 1
    assert other_low < 1 < other_high
    # Of runs that never solve the task, the factor is known on one side only.
    value, bound, none = found[2].simultaneous
    assert (math.isinf(value), none) == (True, math.inf)
    assert bound is not None
    assert bound > 1


def test_bounds_are_where_the_test_changes():
    x, y = Times([100, 120, 150, 170, 190], [True] * 5), Times([210, 230, 260, 300, 310], [True] * 5)
    value, low, high = time_ratio(x, y, 900, 0.05, True)
    assert low is not None
    assert high is not None
    for factor, rejected in (
        (low * 0.999, True),
        (low * 1.001, False),
        (value, False),
        (high * 0.999, False),
        (high * 1.001, True),
    ):
        scaled = Times([time / factor for time in (100, 120, 150, 170, 190)], [True] * 5)
        assert (log_rank([(scaled, y)]).p < 0.05) == rejected
    turned = time_ratio(y, x, 900, 0.05, True)
    assert turned == pytest.approx((1 / value, 1 / high, 1 / low), rel=1e-6)


def test_without_ties_the_shift_is_that_of_hodges_and_lehmann():
    rng = np.random.default_rng(2)
    for n, m in ((4, 4), (5, 7)):
        x, y = rng.normal(1, 1, n), rng.normal(0, 1, m)
        p = stats.mannwhitneyu(x, y, method="exact").pvalue
        assert shift(x, y, 0.05, bool(p < 0.05)) == pytest.approx(shift_interval(x, y), rel=1e-6)
    assert shift(np.array([1.0, 2.0, 3.0]), np.array([1.5, 2.5, 3.5]), 0.05, False)[1:] == (None, None)
    assert least_p(3, 3) > 0.05


def test_the_centre_of_pairs_is_that_of_walsh():
    x = np.array([0.3, 1.1, 1.7, 2.2, 2.9, 3.4])
    value, low, high = centre(x, 0.05, True)
    walsh = np.sort((np.add.outer(x, x) / 2)[np.triu_indices(6)])
    assert (value, low, high) == pytest.approx((np.median(walsh), walsh[0], walsh[-1]))  # 2 / 64 < 0.05 < 4 / 64
    result: Any = stats.wilcoxon(x)
    assert result.pvalue < 0.05


def test_an_interval_follows_the_decision_at_no_difference():
    """However p was drawn: here it is 0.04 at 0 and around it, but counts as 0.06, or the other way round."""

    def test(d: float) -> Outcome:
        return Outcome(1 - d, 0.04 if d < 0.5 or d > 2 else 0.5)

    kept, lost = (inverted(test, [-1, 0.5, 1, 2, 3], 0.05, rejected, 0.01) for rejected in (False, True))
    assert kept == (1, 0, 2)
    assert lost == (1, 0.5, 2)

    def near(d: float) -> Outcome:
        return Outcome(1 - d, 0.5 if -1 < d < 2 else 0.04)

    value, low, high = inverted(near, [-1, 0, 1, 2], 0.05, True, 0.01)
    assert (value, high) == (1, 2)
    assert low is not None
    assert 0 < low < 1e-6  # open at 0
