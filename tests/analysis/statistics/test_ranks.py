"""Average ranks against Demsar's published figures; chances against what can be computed by hand."""

import numpy as np
import pytest

from gatelab.analysis.statistics.ranks import average_ranks, signed_rank_chances


def test_the_critical_difference_is_demsars():
    """Four classifiers on 14 data sets: 2.569 sqrt(4 * 5 / (6 * 14)) = 1.25 (JMLR 7, 2006, section 3.2.4)."""
    found = average_ranks(np.random.default_rng(0).normal(size=(14, 4)))
    assert found.critical == pytest.approx(1.25, abs=0.005)
    assert found.ranks.sum() == pytest.approx(10)


def test_ranks_share_ties_and_put_failures_last():
    values = np.array([[3.0, 1.0, 1.0], [1.0, 2.0, -np.inf]])
    assert average_ranks(values).ranks.tolist() == [1.5, 1.75, 2.75]
    assert average_ranks(values).critical is None  # two tasks


def test_one_variant_has_no_critical_difference():
    assert average_ranks(np.ones((8, 1))).critical is None


def test_chances_follow_the_differences():
    ahead = signed_rank_chances(np.full(10, 0.3), 0.05)
    assert ahead.better > 0.999
    assert signed_rank_chances(-np.full(10, 0.3), 0.05).worse > 0.999
    assert signed_rank_chances(np.full(10, 0.01), 0.05).alike > 0.999
    mixed = signed_rank_chances(np.array([0.3, -0.3] * 5), 0.0)
    assert mixed.better == pytest.approx(mixed.worse, abs=0.02)
    assert sum(mixed) == pytest.approx(1)


def test_one_task_proves_little():
    """One task with z > 0: pairs with the 0 of the prior count, too, so that "better" needs 1 - w_0^2 > w_0^2, w_0 <= sqrt(1/2).

    w_0 ~ Beta(1/2, 1), whose distribution function is sqrt(w): (1/2)^(1/4) = 0.841.
    """
    assert signed_rank_chances(np.array([1.0]), 0.0).better == pytest.approx(0.841, abs=0.01)


def test_failures_of_both_are_alike():
    assert sum(signed_rank_chances(np.array([np.inf, -np.inf, 0.0]), 0.01)) == pytest.approx(1)
