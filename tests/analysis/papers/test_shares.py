"""Claims about shares of the variance: decided by intervals with the measured error of the method, or open."""

import pytest

from gatelab.analysis.importance.errors import with_error
from gatelab.analysis.papers.claims import ALPHA, FAILS, HOLDS, UNDECIDED, decide
from gatelab.analysis.papers.shares import judge_shares, share_with_error
from gatelab.analysis.statistics.intervals import Interval

CLEAR = [{"lr": 0.9, "momentum": 0.01}, {"lr": 0.85, "momentum": 0.02}]


@pytest.mark.parametrize(
    ("comparison", "quantity", "margin", "decision"),
    [
        ("above", "share lr", 0.5, HOLDS),
        ("below", "share momentum", 0.1, HOLDS),
        ("below", "share lr", 0.5, FAILS),
        ("above", "share momentum", 0.1, FAILS),
        ("above", "share lr", 0.8, UNDECIDED),  # both estimates lie above, and their intervals do not
        ("below", "share momentum", 0.02, UNDECIDED),
    ],
)
def test_the_interval_decides_and_not_the_estimate(comparison: str, quantity: str, margin: float, decision: str):
    found = judge_shares(comparison, quantity, CLEAR, (160, 160), margin)
    expected = {HOLDS: (ALPHA, 1.0), FAILS: (1.0, ALPHA), UNDECIDED: (1.0, 1.0)}
    assert (found.p_holds, found.p_fails) == expected[decision]
    assert found.figure.low is not None
    assert found.n == (160, 160)


def test_the_arm_nearest_to_the_level_is_shown():
    found = judge_shares("above", "share lr", CLEAR, (160, 160), 0.5)
    assert found.figure == with_error(Interval(0.85, None, None), 160, 2)
    assert judge_shares("below", "share momentum", CLEAR, (160, 160), 0.5).figure.value == 0.02


def test_one_arm_that_is_not_clear_leaves_a_claim_open():
    arms = [*CLEAR, {"lr": 0.55, "momentum": 0.3}]
    for comparison in ("above", "below"):
        found = judge_shares(comparison, "share lr", arms, (160,) * 3, 0.5)
        assert (found.p_holds, found.p_fails) == (1.0, 1.0)


def test_an_interval_of_95_percent_is_not_enough_where_looks_are_counted():
    (found,) = decide([judge_shares("above", "share lr", CLEAR, (160, 160), 0.5)])
    assert (found.decision, found.note) == (UNDECIDED, "it would be decided alone, not among all claims and looks together")


def test_a_lead_lies_between_the_worst_ends():
    low, high = (with_error(Interval(share, None, None), 160, 2) for share in (0.01, 0.9))
    assert low.low is not None
    assert low.high is not None
    assert high.low is not None
    assert high.high is not None
    expected = (0.89, high.low - low.high, high.high - low.low)
    assert share_with_error("lead lr", CLEAR[0], 160) == pytest.approx(expected)
    found = judge_shares("above", "lead lr", CLEAR, (160, 160), 0.0)
    assert (found.p_holds, found.p_fails) == (2 * ALPHA, 1.0)  # each of the two shares may be off


def test_without_a_known_error_nothing_is_decided():
    found = judge_shares("above", "share lr", CLEAR, (10, 10), 0.5)
    assert (found.decision, found.note) == (UNDECIDED, "the error of such a share is not known for so few runs")
    between = judge_shares("better", "share lr", CLEAR, (160, 160), 0.0)
    assert "share their draws" in between.note
    assert decide([found, between])[0].decision == UNDECIDED
