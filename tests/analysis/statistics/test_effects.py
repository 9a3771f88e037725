"""Effect sizes and power against SciPy, against values computed by hand, and against what they promise."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gatelab.analysis.statistics import effects
from gatelab.analysis.statistics.effects import hedges_g, probability_of_improvement

ttest: Any = stats.ttest_ind  # SciPy makes the class of its result at run time


def test_probability_of_improvement_by_hand():
    # 3 beats 1 and 2, 2 beats 1 and ties with 2, 1 ties with 1: (2 + 1.5 + 0.5) / 6.
    value = probability_of_improvement([3.0, 2.0, 1.0], [1.0, 2.0], True).value
    assert value == pytest.approx(4 / 6)
    assert probability_of_improvement([3.0, 2.0, 1.0], [1.0, 2.0], False).value == pytest.approx(2 / 6)
    a, b = np.random.default_rng(0).normal(size=(2, 9))
    assert probability_of_improvement(a, b, True).value == pytest.approx(stats.mannwhitneyu(a, b).statistic / 81)


def test_bounds_of_the_probability_solve_newcombes_equation():
    a, b = [0.3, 0.5, 0.9, 0.4], [0.2, 0.35, 0.6, 0.1]
    value, low, high = probability_of_improvement(a, b, True)
    assert low is not None
    assert high is not None
    for theta in (low, high):
        spread = 1 + 3 * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        assert (value - theta) ** 2 == pytest.approx(1.959964**2 * theta * (1 - theta) * spread / 16, rel=1e-5)
    assert 0 < low < value < high < 1


def test_all_won_is_not_certain():
    value, low, high = probability_of_improvement([2.0, 3.0, 4.0, 5.0], [0.0, 1.0, 1.5, 1.7], True)
    assert (value, high) == (1.0, 1.0)
    assert low is not None
    assert 0.4 < low < 0.7
    mirrored = probability_of_improvement([0.0, 1.0, 1.5, 1.7], [2.0, 3.0, 4.0, 5.0], True)
    assert mirrored == pytest.approx((0.0, 0.0, 1 - low))


def test_three_seeds_have_no_interval_of_the_probability():
    # Their 20 ways to fall leave no other coverage than 0.9.
    assert probability_of_improvement([2.0, 3.0, 4.0], [0.0, 1.0, 1.5], True) == (1.0, None, None)


def test_coverage_of_the_probability():
    # 800 repetitions, standard error 0.8%: the method promises 95%.
    rng = np.random.default_rng(0)
    truth, hits = stats.norm.cdf(1 / math.sqrt(2)), 0
    for _ in range(800):
        _, low, high = probability_of_improvement(rng.normal(1, 1, 5), rng.normal(0, 1, 5), True)
        hits += low <= truth <= high
    assert hits / 800 == pytest.approx(0.95, abs=0.03)


def test_hedges_g_by_hand():
    # Means 2 and 6, pooled variance (1 + 4) / 2, so d = -4 / sqrt(2.5); J(4) = Gamma(2) / (sqrt(2) Gamma(1.5)) = 0.797885.
    effect = hedges_g([1.0, 2.0, 3.0], [4.0, 6.0, 8.0])
    assert effect.value == pytest.approx(-4 / math.sqrt(2.5) * 0.7978846)
    t = -4 / math.sqrt(2.5) / math.sqrt(2 / 3)
    shifts = [bound / 0.7978846 / math.sqrt(2 / 3) for bound in effect[1:] if bound is not None]
    assert stats.nct.cdf(t, 4, shifts) == pytest.approx([0.975, 0.025], rel=1e-5)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("t", [1e4, 1e6, 1e9, 1e12])
@pytest.mark.parametrize(
    ("degrees", "chi_low", "chi_high"),  # quantiles of chi^2 at 2.5% and 97.5%, from printed tables
    [(1, 0.000982, 5.0239), (4, 0.4844, 11.1433), (18, 8.2307, 31.5264), (60, 40.4817, 83.2977)],
)
def test_far_out_the_noncentrality_is_a_quantile_of_chi(degrees: int, chi_low: float, chi_high: float, t: float, sign: int):
    # The normal part of t is nothing beside it: t s with s^2 = chi^2 / degrees.
    low, high = sorted(effects._noncentrality(sign * t, degrees, share) * sign for share in (0.975, 0.025))
    assert low / t == pytest.approx(math.sqrt(chi_low / degrees), rel=1e-3)
    assert high / t == pytest.approx(math.sqrt(chi_high / degrees), rel=1e-3)


@pytest.mark.parametrize("degrees", [1, 2, 4, 18, 98])
def test_noncentral_t_has_no_jump_where_the_method_changes(degrees: int):
    t = effects._FAR * (1 - 1e-12)
    for share in (0.975, 0.5, 0.025):
        near = effects._noncentrality(t, degrees, share)
        assert stats.nct.cdf(t, degrees, near) == pytest.approx(share, abs=1e-9)
        assert effects._noncentrality(effects._FAR, degrees, share) == pytest.approx(near, rel=1e-4)


def test_hedges_g_of_a_huge_difference():
    a, b = np.array([0.0, 1.0, 2.0]) * 1e-6, np.array([0.0, 1.0, 2.0]) * 1e-6 + 1.0
    effect = hedges_g(a, b)
    assert effect.value == pytest.approx(-0.7978846e6, rel=1e-6)
    assert effect.low == pytest.approx(effect.value * math.sqrt(11.1433 / 4), rel=1e-4)
    assert effect.high == pytest.approx(effect.value * math.sqrt(0.4844 / 4), rel=1e-3)


def test_hedges_g_is_not_there_for_everything():
    for a, b in (([1.0], [1.0, 2.0]), ([1.0, math.nan], [1.0, 2.0]), ([1.0, 1.0], [2.0, 2.0])):
        effect = hedges_g(a, b)
        assert math.isnan(effect.value)
        assert effect[1:] == (None, None)


@pytest.mark.slow  # a simulation
def test_hedges_g_is_unbiased():
    rng = np.random.default_rng(1)
    found = [hedges_g(rng.normal(1, 1, 4), rng.normal(0, 1, 4)).value for _ in range(1000)]
    assert np.mean(found) == pytest.approx(1.0, abs=4 * float(np.std(found)) / math.sqrt(1000))
