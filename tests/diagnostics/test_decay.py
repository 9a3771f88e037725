"""How fast a curve falls: half-lives by first crossing, and the exponential beside them."""

import math

import numpy as np
import pytest

from gatelab.diagnostics import decay

LAGS = np.arange(40)


def test_an_exponential_has_its_own_half_life() -> None:
    for steps in (0.5, 2.0, 7.3):
        values = 3 * 0.5 ** (LAGS / steps)
        assert decay.half_life(LAGS, values) == pytest.approx(steps)
        assert decay.fit(values).half_life == pytest.approx(steps)
        assert decay.fit(values).r2 == pytest.approx(1)


def test_lags_need_not_be_evenly_spaced() -> None:
    lags = np.array([0, 1, 3, 10, 30])
    assert decay.half_life(lags, 0.5 ** (lags / 6)) == pytest.approx(6)


def test_a_curve_that_drops_and_stays_halves_early_and_is_no_exponential() -> None:
    """The fitted half-life is that of the tail; the measured one is where half is left."""
    values = np.where(LAGS == 0, 1.0, 0.03)
    values = values * (1 + 0.2 * np.sin(LAGS))
    assert decay.half_life(LAGS, values) < 1
    assert decay.fit(values).half_life > 20
    assert decay.fit(values).r2 < decay.GOOD_FIT


def test_the_first_crossing_counts() -> None:
    assert decay.half_life([0, 1, 2, 3], [4, 1, 4, 4]) == pytest.approx(0.5)
    assert decay.half_life([0, 1, 2], [4, 0, 4]) == pytest.approx(0.5)  # no logarithm of 0


def test_what_never_halves() -> None:
    assert decay.half_life(LAGS, np.linspace(1, 0.51, 40)) == math.inf
    assert decay.half_life(LAGS, 1.1**LAGS) == decay.fit(1.1**LAGS).half_life == math.inf
    assert decay.fit(np.ones(40)) == (0, 1)


def test_zeros_in_front_are_not_a_first_value() -> None:
    """A part of the state that is not read at the last step has its first gradient at lag 1."""
    values = np.concatenate([[0.0], 0.5 ** (LAGS[1:] / 4)])
    assert decay.half_life(LAGS, values) == pytest.approx(4)


def test_what_has_no_half_life() -> None:
    assert math.isnan(decay.half_life([0, 1], [0.0, 0.0]))
    assert math.isnan(decay.half_life([0], [1.0]))
    assert math.isnan(decay.half_life([0, 1], [1.0, math.nan]))


def test_the_fit_leaves_out_what_has_no_logarithm() -> None:
    found = decay.fit([0.0, math.e**-1, math.e**-3, 0.0, math.e**-7, math.nan])
    assert found.slope == pytest.approx(-2)
    assert found.r2 == pytest.approx(1)
    assert math.isnan(decay.fit([0.0, 1.0]).half_life)
    assert math.isnan(decay.fit([1.0, 0.5]).r2)  # a line goes through any two points
