"""The expected best of k draws: against all subsets, closed forms, and truths for its band."""

import itertools

import numpy as np
import pytest

from gatelab.analysis.statistics.budget import BAND_UP_TO, LEAST_DRAWS, best_band, budget, expected_best


@pytest.mark.parametrize("higher", [True, False])
def test_it_is_the_mean_over_all_subsets(higher: bool) -> None:
    scores = np.array([0.3, 0.1, 0.1, 0.9, 0.5, 0.7])
    best = max if higher else min
    expected = [np.mean([best(one) for one in itertools.combinations(scores, k)]) for k in range(1, 7)]
    assert expected_best(scores, higher) == pytest.approx(expected)


def test_uniform_scores_have_the_closed_form() -> None:
    """Of the numbers 1 ... n the best of k is k (n + 1) / (k + 1) on average."""
    n = 60
    k = np.arange(1, n + 1)
    assert expected_best(np.arange(1, n + 1), True) == pytest.approx(k * (n + 1) / (k + 1))


def test_it_has_no_bias_and_its_band_covers_small_budgets() -> None:
    """Over 300 searches of 40 uniform draws, whose best of k is k / (k + 1) on average."""
    generator = np.random.default_rng(0)
    k = np.arange(1, 41)
    scores = generator.random((300, 40))
    found = expected_best(scores, True)
    assert found.mean(axis=0) == pytest.approx(k / (k + 1), abs=4 * 0.29 / (40 * 300) ** 0.5 + 0.004)
    hit = np.zeros(40)
    for row in scores:
        low, high = best_band(row, True, resamples=200)
        hit += (low <= k / (k + 1)) & (k / (k + 1) <= high)
    shown = int(BAND_UP_TO * 40)
    assert (hit[1:shown] / 300 > 0.9).all()
    assert (hit[shown:] == 0).all()  # no band
    assert hit[0] == 0  # and none of the mean of all scores


def test_variants_that_share_draws_have_a_joint_band() -> None:
    """Scores that differ by a constant differ by it in every resample, and the other direction mirrors the band."""
    scores = np.random.default_rng(1).random(32)
    low, high = best_band(scores, True)
    assert best_band(scores + 2, True)[0] == pytest.approx(low + 2, nan_ok=True)
    assert best_band(-scores, False)[0] == pytest.approx(-high, nan_ok=True)


def test_few_draws_have_no_curve() -> None:
    assert budget(np.arange(LEAST_DRAWS - 1), True) is None
    found = budget(np.arange(LEAST_DRAWS), True)
    assert found is not None
    assert found.best[-1] == LEAST_DRAWS - 1
