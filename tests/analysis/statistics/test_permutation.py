"""Exact tests against enumeration and SciPy, and the interval that belongs to them."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from gatelab.analysis.statistics.permutation import (
    exceedance,
    least_p,
    rank_exceedance,
    rank_test,
    shift_interval,
    signed_rank_test,
)


def test_every_way_to_divide_the_runs_is_counted():
    assert rank_test(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == (0.0, pytest.approx(2 / 6), pytest.approx(2 / 6))
    # With ties, by enumeration: how many of the 20 ways are as far from a draw, 4.5 of 9 pairs, or further.
    a, b = [1.0, 2.0, 4.0], [1.0, 1.5, 4.0]
    pool = [*a, *b]

    def wins(x, y) -> float:
        return sum((u > v) + 0.5 * (u == v) for u in x for v in y)

    ways = itertools.combinations(range(6), 3)
    splits = [([pool[i] for i in way], [pool[i] for i in range(6) if i not in way]) for way in ways]
    far = sum(abs(wins(*split) - 4.5) >= abs(wins(a, b) - 4.5) for split in splits) / len(splits)
    found = rank_test(np.array(a), np.array(b))
    assert (found.statistic, found.p) == (wins(a, b), pytest.approx(far))


@pytest.mark.parametrize(("n", "m"), [(3, 3), (5, 5), (4, 7), (8, 6)])
def test_against_scipy(n: int, m: int):
    rng = np.random.default_rng(n)
    x, y = rng.normal(1, 1, n), rng.normal(0, 1, m)
    expected = stats.mannwhitneyu(x, y, method="exact")
    found = rank_test(x, y)
    assert (found.statistic, found.p) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.least == pytest.approx(least_p(n, m)) == 2 / math.comb(n + m, n)


def test_all_ways_are_counted_without_being_listed():
    x, y = np.random.default_rng(0).normal(size=(2, 12))
    found = rank_test(x + 0.8, y)
    assert found.p == pytest.approx(stats.mannwhitneyu(x + 0.8, y, method="exact").pvalue)
    assert found.least == pytest.approx(least_p(12, 12))


def test_ties_are_counted_as_they_are_listed():
    """The scores of a permutation test that lists all ways are any numbers, so also ranks with ties."""
    x, y = np.random.default_rng(4).integers(4, size=(2, 6)).astype(float)
    ranks = stats.rankdata(np.concatenate([x, y]))
    assert rank_exceedance(x, y) == pytest.approx(exceedance(ranks, 6))
    assert rank_exceedance(y, x) == pytest.approx(exceedance(ranks[::-1], 6))


def test_of_very_many_runs_arrangements_are_drawn():
    x, y = np.random.default_rng(0).normal(size=(2, 51))
    found = rank_test(x + 0.4, y)
    assert found.p == pytest.approx(stats.mannwhitneyu(x + 0.4, y, method="asymptotic").pvalue, abs=0.015)
    assert found == rank_test(x + 0.4, y)
    assert found.least >= 1e-4


def test_what_is_equal_but_for_rounding_ties():
    x = np.array([0.01, 0.02, 0.03])
    assert (x + 0.1 - 0.1 > x).any()
    assert rank_exceedance(x + 0.1 - 0.1, x, 1e-15) == rank_exceedance(x, x)


def test_failures_tie():
    found = rank_test(np.array([1.0, math.inf, math.inf]), np.array([math.inf, math.inf, math.inf]))
    assert found.statistic == 3 * 0.5 * 2
    assert found.p == 1.0


# How many of the ordered differences the interval leaves out on each side: tables of Mann and Whitney's test.
@pytest.mark.parametrize(("n", "m", "left_out"), [(4, 4, 0), (5, 5, 2), (6, 6, 5), (8, 8, 13), (10, 10, 23), (5, 7, 5)])
def test_the_shift_leaves_out_what_the_test_rejects(n: int, m: int, left_out: int):
    rng = np.random.default_rng(1)
    x, y = rng.normal(2, 1, n), rng.normal(0, 1, m)
    every = np.sort(np.subtract.outer(x, y).ravel())
    found = shift_interval(x, y)
    assert found == (np.median(every), every[left_out], every[-1 - left_out])
    assert found.low is not None
    assert rank_test(x - found.low + 1e-6, y).p <= 0.05 < rank_test(x - found.low - 1e-6, y).p


def test_three_runs_have_a_shift_without_an_interval():
    assert shift_interval(np.array([3.0, 4.0, 5.0]), np.array([0.0, 1.0, 2.0])) == (3.0, None, None)
    low, high = shift_interval(np.arange(5.0), np.array([0.0, 1.0, math.inf, math.inf, math.inf]))[1:]
    assert (low, high) == (-math.inf, 3.0)


def test_many_runs_have_the_interval_of_the_normal_distribution():
    x, y = np.random.default_rng(0).normal(size=(2, 60))
    every = np.sort(np.subtract.outer(x, y).ravel())
    low = shift_interval(x, y).low
    assert low is not None
    left_out = np.searchsorted(every, low)
    assert left_out == pytest.approx(1800 - 1.96 * math.sqrt(60 * 60 * 121 / 12), abs=2)


def test_signed_ranks_against_scipy():
    d = np.array([0.3, -0.1, 0.7, 0.2, 0.9, 0.4])
    found = signed_rank_test(d)
    assert found.p == pytest.approx(stats.wilcoxon(d)[1])
    assert (found.statistic, found.least) == (19.0, 2 / 64)  # 21 - 2 * 1
    assert signed_rank_test(np.zeros(4)).p == 1.0
    many = np.random.default_rng(0).normal(0.5, 1, 16)
    assert signed_rank_test(many).p == pytest.approx(stats.wilcoxon(many, method="exact")[1], abs=0.01)
