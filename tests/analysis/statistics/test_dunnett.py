"""Dunnett's distribution against his tables, and the guard against unequal variances."""

import math

import numpy as np
import pytest
from scipy import special, stats

from gatelab.analysis.statistics.dunnett import contrasts, critical_value, family_p


# Two-sided critical values at 5% and 1%: Dunnett 1964, table III, and any textbook since.
@pytest.mark.parametrize(
    ("variants", "degrees", "level", "published"),
    [(1, 10, 0.95, 2.23), (2, 10, 0.95, 2.57), (4, 20, 0.95, 2.65), (9, 20, 0.95, 2.95), (4, 20, 0.99, 3.40), (3, 12, 0.95, 2.68)],
)
def test_published_tables(variants: int, degrees: int, level: float, published: float):
    assert family_p(published, [math.sqrt(0.5)] * variants, degrees) == pytest.approx(1 - level, abs=0.0006)


def test_a_critical_value_is_where_the_probability_is_reached():
    value = critical_value(5, (5, 5, 5, 5), 0.95)
    assert value == pytest.approx(2.651, abs=0.001)
    assert critical_value(4, (6, 3), 0.9) == critical_value(4, (3, 6), 0.9)


@pytest.mark.parametrize("degrees", [1, 2, 4, 20, 300])
def test_one_variant_is_students_t(degrees: int):
    for t in (0.1, 1.0, 3.0, 20.0):
        assert family_p(t, [math.sqrt(0.5)], degrees) == pytest.approx(2 * special.stdtr(degrees, -t), abs=1e-6)


def test_unequal_numbers_of_seeds():
    # E_s of the bivariate normal over its correlation, on a fine grid of quantiles.
    shares, degrees, t = (math.sqrt(3 / 8), math.sqrt(10 / 15)), 15, 2.2
    s = np.sqrt(stats.chi2.ppf((np.arange(400) + 0.5) / 400, degrees) / degrees)
    both = stats.multivariate_normal(cov=np.array([[1, shares[0] * shares[1]], [shares[0] * shares[1], 1]]))  # type: ignore[arg-type] - SciPy documents it
    inside = [both.cdf([t * u, t * u], lower_limit=[-t * u, -t * u]) for u in s]
    assert family_p(t, shares, degrees) == pytest.approx(1 - np.mean(inside), abs=2e-4)


def test_the_larger_of_two_standard_errors_counts():
    quiet, wild = np.array([0.0, 1.0, 2.0]), np.array([-9.0, 1.0, 14.0])
    calm, loud = contrasts(quiet, [quiet + 1, wild])
    pooled = (1 + 1 + wild.var(ddof=1)) / 3
    assert calm.error == pytest.approx(math.sqrt(pooled * 2 / 3))
    assert loud.error == pytest.approx(math.sqrt((1 + wild.var(ddof=1)) / 3))
    assert calm.degrees == loud.degrees == 6
    assert (calm.value, calm.t) == (pytest.approx(1.0), pytest.approx(1 / calm.error))


def test_nothing_varies():
    with pytest.raises(ValueError, match="No sample varies"):
        contrasts(np.ones(3), [np.zeros(3)])
