"""Scores on their scale and back, and what speaks against one value with scatter around it."""

import math

import numpy as np
import pytest

from gatelab.analysis.statistics.intervals import Interval, mean_interval
from gatelab.analysis.statistics.scales import LINEAR, Axis
from gatelab.analysis.statistics.shapes import clusters, degenerate

SHARES = Axis("logit", 300)


@pytest.mark.parametrize("axis", [LINEAR, Axis("log"), SHARES])
def test_there_and_back(axis: Axis):
    for score in (0.001, 0.25, 0.98):
        assert axis.back(float(axis.forward(score))) == pytest.approx(score)


def test_the_ends_of_a_scale_are_finite():
    assert np.isfinite(Axis("log").forward([0.0, 1e-30])).all()
    assert SHARES.forward([0.0, 0.5, 1.0]) == pytest.approx([-math.log(601), 0.0, math.log(601)])
    assert (SHARES.back(50.0), SHARES.back(-50.0)) == (1.0, 0.0)
    assert np.isnan(SHARES.forward([math.nan])).all()


@pytest.mark.parametrize("axis", [LINEAR, Axis("log"), SHARES])
def test_failures_are_worst_whatever_the_scale(axis: Axis):
    assert axis.ranked([0.5, math.nan, math.inf, -math.inf], True)[1:].tolist() == [-math.inf] * 3
    assert axis.ranked([0.5, math.nan, math.inf, -math.inf], False)[1:].tolist() == [math.inf] * 3


def test_differences_are_ratios():
    log = Axis("log").back_difference(Interval(math.log(2), 0.0, math.log(8)))
    assert (Axis("log").compares, log) == ("ratio", pytest.approx((2.0, 1.0, 8.0)))
    assert SHARES.back_difference(Interval(0.0, None, None)) == (1.0, None, None)
    assert Axis("log").back_difference(Interval(1e4, None, None)).value == math.inf
    assert LINEAR.back_difference(Interval(0.1, 0.0, 0.2)) == (0.1, 0.0, 0.2)


def test_a_mean_is_made_on_the_scale():
    scores = [0.001, 0.01, 0.1]
    low, high = mean_interval(np.log(scores))[1:]
    assert low is not None
    assert high is not None
    assert Axis("log").mean(scores) == pytest.approx((0.01, math.exp(low), math.exp(high)))
    top = SHARES.mean([0.99, 1.0, 1.0])
    assert top.high is not None
    assert 0.99 < top.value < top.high <= 1.0


def test_shares_need_their_number_of_items():
    with pytest.raises(ValueError, match="number of items"):
        Axis("logit")


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        ([0.1, 0.12, 0.13], ""),
        ([0.1, math.nan], "1 of 2 runs diverged"),
        ([0.2, 0.2, 0.2], "all 3 scores are the same"),
        ([0.3, 0.1 + 0.2], "all 2 scores are the same"),
        ([0.2], ""),
    ],
)
def test_samples_without_a_variance(scores: list[float], words: str):
    assert degenerate(np.array(scores)) == words


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([[0.1, 0.12, 0.13]], ""),
        ([[0.1, 0.12, 0.13, 0.11, 0.12]], ""),
        ([[0.004, 0.16]], "1 of 2 runs solve the task and 1 stay at chance"),
        ([[0.004, 0.003], [0.16, math.nan]], "2 of 3 runs solve the task and 1 stay at chance"),
        ([[0.004, 0.1]], ""),  # on its way
        ([[0.12, 0.13], [0.1, 0.101, 0.102, 0.16, 0.161]], "the scores of a variant form two groups, of 2 and 3 runs"),
        ([[0.1, 0.101, 0.102, 0.16]], ""),  # four scores have such a gap too often
        ([[0.2], []], ""),
    ],
)
def test_clusters(samples: list[list[float]], words: str):
    arrays = [np.array(scores) for scores in samples]
    assert clusters(arrays, LINEAR, False, chance=1 / 6, solved=0.01) == words
    assert clusters([-scores for scores in arrays], LINEAR, True, chance=-1 / 6, solved=-0.01) == words


def test_normal_scores_rarely_look_like_clusters():
    rng = np.random.default_rng(0)
    for n in (5, 10):
        assert sum(bool(clusters([x])) for x in rng.normal(size=(2000, n))) <= 35  # 0.9% and four standard errors
