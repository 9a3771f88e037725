"""All pairs at once, against SciPy's Games-Howell test."""

import numpy as np
import pytest
from scipy import stats

from gatelab.analysis.statistics.pairs import ahead_of, pair_p


def test_p_is_that_of_games_and_howell():
    generator = np.random.default_rng(0)
    samples = [generator.normal(place, 1 + place, 3 + place) for place in range(4)]
    expected = stats.tukey_hsd(*samples, equal_var=False).pvalue
    for a in range(4):
        for b in range(a):
            assert pair_p(samples[a], samples[b], 4) == pytest.approx(expected[a, b], rel=1e-6)


def test_the_leader_and_those_behind_it():
    samples = [[1.0, 1.1, 1.2], [5.0, 5.2, 5.1], [4.9, 5.3, 4.8], [0.2, 0.1, 0.3]]
    assert ahead_of(samples, 0.95) == [0, 3]
    assert ahead_of(samples[1:3], 0.95) == []


def test_zero_variance_decides_nothing():
    assert pair_p([1.0, 1.0], [2.0, 2.0], 2) is None
    assert pair_p([1.0], [2.0, 3.0], 2) is None
    assert ahead_of([[1.0, 1.0], [2.0, 2.0]], 0.95) == []
