"""Shares over the declared domain, and intervals that hold the error of the forest."""

import math

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from gatelab.analysis.importance.errors import BINS, MEASURED, UNSEEN, determined, with_error
from gatelab.analysis.importance.variance import TREES_RESAMPLED, ranges_of, shares_of
from gatelab.analysis.statistics.intervals import Interval


@pytest.mark.parametrize(
    ("domain", "value", "low", "high"),
    [
        ("interval(0.0, 1.0)", 0.4, 0.0, 1.0),
        ("interval(start=-1, end=2.5)", 0.4, -1.0, 2.5),
        ("tag(log, interval(1e-4, 1e-2))", math.log(1e-3), math.log(1e-4), math.log(1e-2)),
        ("tag(log, one_minus, interval(0.01, 1.0))", math.log(0.1), math.log(0.01), 0.0),
        ("int(interval(3, 5))", 4.5, 3.0, 6.0),  # each whole number is as wide as it is likely
        ("tag(log, int(interval(20, 100)))", math.log(30.5), math.log(20), math.log(101)),
        ("float(interval(1, 5))", 4.5, 1.0, 5.0),
        ("interval(0.0, 0.5) or interval(0.2, 1.0)", 0.4, 0.0, 1.0),
    ],
)
def test_shares_are_over_the_declared_domain(domain: str, value: float, low: float, high: float) -> None:
    ranges = ranges_of([{"a": value}, {"a": value + 0.01}], {"a": domain})
    assert (ranges["a"].low, ranges["a"].high) == (pytest.approx(low), pytest.approx(high))


def test_values_outside_the_domain_widen_it() -> None:
    assert ranges_of([{"a": 1.5}, {"a": -0.5}], {"a": "interval(0.0, 1.0)"})["a"] == FloatDistribution(-0.5, 1.5)


def test_a_choice_that_no_run_has_belongs_to_the_domain() -> None:
    rows = [{"a": "sgd"}, {"a": "adamw"}]
    assert ranges_of(rows, {"a": "choice(sgd, adamw, rmsprop)"})["a"] == CategoricalDistribution(("adamw", "rmsprop", "sgd"))
    assert ranges_of([{"a": "0.001"}], {"a": "choice(1e-3, 1e-2)"})["a"] == CategoricalDistribution(("0.001",))  # other spellings


def test_what_lies_outside_the_draws_counts() -> None:
    """The score jumps in the lower half of the domain of b, where few of the runs are: over the observed range it hardly varies."""
    generator = np.random.default_rng(0)
    points = generator.random((80, 2))
    points[8:, 1] = 0.6 + 0.1 * points[8:, 1]
    points[:8, 1] = 0.45
    scores = (0.3 * points[:, 0] + (points[:, 1] < 0.5)).tolist()
    rows = [{"a": float(a), "b": float(b)} for a, b in points]
    share = {}
    for domain in ("interval(0.0, 1.0)", "interval(0.45, 0.7)"):
        share[domain] = shares_of(rows, scores, ranges_of(rows, {"a": "interval(0.0, 1.0)", "b": domain}), 0, TREES_RESAMPLED)["b"]
    # By hand: b varies with p (1 - p), where p of its domain is below 0.525, the middle of the gap; a with 0.09 / 12.
    assert share["interval(0.0, 1.0)"] == pytest.approx(0.25 / (0.25 + 0.0075), abs=0.02)
    assert share["interval(0.0, 1.0)"] > share["interval(0.45, 0.7)"]


def test_an_interval_is_widened_by_the_error_and_never_narrowed() -> None:
    below, above = MEASURED[80, 4][0][3]
    assert with_error(Interval(0.7, None, None), 80, 4) == (0.7, pytest.approx(0.7 + below), pytest.approx(0.7 + above))
    assert with_error(Interval(0.7, 0.1, 0.99), 80, 4) == (0.7, 0.1, 0.99)
    # Between two cases: the errors of fewer runs and of more options.
    assert with_error(Interval(0.7, None, None), 100, 3) == with_error(Interval(0.7, None, None), 80, 4)
    # Too few estimates above 0.8 in 80 draws: the errors of 40.
    assert MEASURED[80, 4][0][4] == UNSEEN
    assert with_error(Interval(0.85, None, None), 80, 4) == with_error(Interval(0.85, None, None), 40, 4)


def test_what_was_not_measured_is_not_determined() -> None:
    few, many = min(n for n, _ in MEASURED), max(d for _, d in MEASURED)
    for n, d in ((few - 1, 2), (1000, many + 1)):
        share = with_error(Interval(0.9, 0.89, 0.91), n, d)
        assert (share.low, share.high) == (None, None)
        assert not determined(share)
    assert not determined(Interval(0.4, 0.1, 0.7))
    assert determined(Interval(0.4, 0.2, 0.6))
    assert not determined(with_error(Interval(math.nan, None, None), 80, 4))


def test_the_table_is_whole() -> None:
    for shares, interactions in MEASURED.values():
        assert len(shares) == len(interactions) == len(BINS) + 1
        assert all(-1 <= low <= 0 <= high <= 1 for low, high in (*shares, *interactions))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_intervals_hold_shares_of_functions_that_were_not_measured() -> None:
    """Shares .6, .3, .1 of three smooth effects, and a valley along a diagonal: 10 searches of 40 draws each."""
    ranges = {f"o{axis}": FloatDistribution(0.0, 1.0) for axis in range(4)}
    middle = (np.arange(60) + 0.5) / 60
    grid = np.meshgrid(middle, middle, middle, indexing="ij")
    functions = [
        lambda x, y, z: 0.6**0.5 * np.sin(3 * (x - 0.5)) / 0.67 + 0.3**0.5 * y / 0.29 + 0.1**0.5 * z / 0.29,
        lambda x, y, z: np.abs(x - y) + 0.2 * z,
    ]
    inside, shown = 0, 0
    for function in functions:
        values = function(*grid)
        main = [values.mean(axis=tuple({0, 1, 2} - {axis})).var() / values.var() for axis in range(3)]
        for seed in range(10):
            points = np.random.default_rng(seed).random((40, 4))
            rows = [{f"o{axis}": float(value) for axis, value in enumerate(point)} for point in points]
            found = shares_of(rows, function(*points.T[:3]).tolist(), ranges, seed, TREES_RESAMPLED)
            for truth, value in zip([*main, 0.0], found.values(), strict=True):
                share = with_error(Interval(value, None, None), 40, 4)
                if determined(share):
                    shown += 1
                    inside += (share.low or 0.0) <= truth <= (share.high or 0.0)
    assert shown >= 30
    assert inside / shown >= 0.9
