"""Comparisons on synthetic results whose truth is known: what is true holds, what is false fails, what is open stays open."""

import math

import numpy as np
import pytest

from gatelab.analysis.papers.claims import ALPHA, COMPARISONS, FAILS, HOLDS, UNDECIDED, Arm, decide, judge, judge_search, typical
from gatelab.analysis.statistics.selection import Trials
from gatelab.analysis.statistics.sequential import spent


def arm(mean: float, n: int = 20, spread: float = 1.0, seed: int = 0) -> Arm:
    """n values with exactly this mean and standard deviation."""
    x = np.random.default_rng(seed).normal(size=n)
    x = (x - x.mean()) / x.std(ddof=1) if n > 1 else np.zeros(n)
    return Arm((mean + spread * x).tolist())


def verdict(comparison, arms, kind, margin, higher_is_better=True):
    return decide([judge(comparison, arms, kind, higher_is_better, margin)])[0]


@pytest.mark.parametrize("kind", ["single", "any"])
@pytest.mark.parametrize("higher_is_better", [True, False])
@pytest.mark.parametrize(
    ("comparison", "advantage", "margin", "decision"),
    [
        ("better", 1.5, 0.2, HOLDS),
        ("better", 1.0, 0.8, UNDECIDED),
        ("better", 0.0, 1.2, FAILS),
        ("better", -1.5, 0.0, FAILS),
        ("not_worse", 0.0, 1.2, HOLDS),
        ("not_worse", -1.5, 0.2, FAILS),
        ("not_worse", 0.0, 0.2, UNDECIDED),
        ("different", 1.5, 0.2, HOLDS),
        ("different", -1.5, 0.2, HOLDS),
        ("different", 1.0, 0.8, UNDECIDED),
        ("different", 0.0, 1.2, FAILS),
        ("different", 0.0, 0.2, UNDECIDED),
    ],
)
def test_two_arms(comparison, advantage, margin, decision, higher_is_better, kind):
    sign = 1 if higher_is_better else -1
    found = verdict(comparison, [arm(5 + sign * advantage), arm(5, seed=1)], kind, margin, higher_is_better)
    assert found.decision == decision
    assert found.figure.low < advantage < found.figure.high
    assert found.n == (20, 20)


@pytest.mark.parametrize("kind", ["single", "any"])
@pytest.mark.parametrize(
    ("comparison", "level", "decision"),
    [
        ("above", 4.0, HOLDS),
        ("above", 6.0, FAILS),
        ("above", 5.1, UNDECIDED),
        ("below", 6.0, HOLDS),
        ("below", 4.0, FAILS),
        ("below", 5.1, UNDECIDED),
    ],
)
def test_levels(comparison, level, decision, kind):
    for higher_is_better in (True, False):
        assert verdict(comparison, [arm(5.0)], kind, level, higher_is_better).decision == decision


def test_the_interval_of_a_mean_is_that_of_student():
    found = judge("above", [arm(5.0)], "single", True, 0.0)
    assert found.figure.high is not None
    assert found.figure.high - found.figure.value == pytest.approx(2.0930 / math.sqrt(20), abs=1e-3)  # t(19)


def test_an_order_holds_when_every_step_does_and_fails_with_one():
    a, b, c = arm(7.0), arm(5.0, seed=1), arm(3.0, seed=2)
    close = arm(2.9, seed=3)
    assert verdict("order", [a, b, c], "single", 0.0).decision == HOLDS
    assert verdict("order", [a, b, c], "single", 0.0).figure.value == pytest.approx(2.0)
    assert verdict("order", [c, b, a], "single", 0.0).decision == FAILS
    assert verdict("order", [c, b, a], "single", 0.0, False).decision == HOLDS
    assert verdict("order", [a, c, close], "single", 0.0).decision == UNDECIDED
    assert verdict("order", [a, c, b, close], "single", 0.0).decision == FAILS
    assert verdict("order", [a, b, c], "single", 0.0).n == (20, 20, 20)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_level_is_for_every_arm(sign):
    word = "above" if sign > 0 else "below"
    far, near, beyond = (arm(sign * mean, seed=index) for index, mean in enumerate((5.0, 3.0, 0.0)))
    found = verdict(word, [far, near], "single", sign * 2.0)
    assert (found.decision, found.n) == (HOLDS, (20, 20))
    assert found.figure.value == pytest.approx(sign * 3.0)  # the arm nearest to the level
    assert verdict(word, [far, near, beyond], "single", sign * 2.0).decision == FAILS
    assert verdict(word, [far, near, beyond], "single", sign * 2.0).figure.value == pytest.approx(0.0)


def test_a_level_for_many_arms_holds_as_for_one_and_is_harder_to_refute():
    """All of ten arms must hold, each at the full level; that one of ten fails is a finding of ten."""
    assert judge("above", [arm(0.5, seed=seed) for seed in range(10)], "single", True, 0.0).p_holds == pytest.approx(
        judge("above", [arm(0.5)], "single", True, 0.0).p_holds, rel=1e-6
    )
    alone = judge("above", [arm(-0.5)], "single", True, 0.0).p_fails
    among = judge("above", [arm(-0.5), *(arm(0.5, seed=seed) for seed in range(1, 10))], "single", True, 0.0).p_fails
    assert among == pytest.approx(10 * alone, rel=1e-6)


@pytest.mark.parametrize("kind", ["single", "any"])
@pytest.mark.parametrize("values", [[1.0, 1.0], [1.0] * 5])
def test_equal_scores_decide_nothing_at_these_numbers(kind, values):
    assert verdict("above", [Arm(values)], kind, 0.999).decision == UNDECIDED
    assert verdict("better", [Arm(values), Arm([0.0] * 2)], kind, 0.5).decision == UNDECIDED


def test_one_run_and_a_diverged_run_decide_nothing():
    for kind in ("single", "any"):
        for comparison, arms in (("better", [arm(1, n=1), arm(0, n=1)]), ("above", [arm(1, n=1)])):
            found = verdict(comparison, arms, kind, 0.0)
            assert (found.decision, found.note) == (UNDECIDED, "one run decides nothing")
    few = verdict("above", [arm(9, n=3)], "any", 0.0)
    assert (few.decision, few.note) == (UNDECIDED, "so few runs cannot decide it: whatever they score, p is at least 0.12")
    assert verdict("above", [arm(9, n=6)], "any", 0.0).decision == HOLDS  # 1/64
    broken = Arm([1.0, math.inf, 2.0])
    for comparison, arms in (("better", [broken, arm(0)]), ("below", [broken])):
        found = verdict(comparison, arms, "any", 5.0)
        assert (found.decision, found.note) == (UNDECIDED, "1 run has no finite value")


def test_a_claim_about_a_share_is_decided_by_counts():
    assert verdict("above", [Arm([1.0] * 10)], "share", 0.65).decision == HOLDS  # 0.65^10 = 0.013
    assert verdict("above", [Arm([1.0] * 10)], "share", 0.7).decision == UNDECIDED  # 0.7^10 = 0.028
    assert verdict("below", [Arm([1.0] * 10)], "share", 0.7).decision == UNDECIDED
    assert verdict("above", [Arm([0.0] * 10)], "share", 0.5).decision == FAILS
    many, few = Arm([1.0] * 9 + [0.0]), Arm([1.0] + [0.0] * 9)
    assert verdict("better", [many, few], "share", 0.2).decision == HOLDS
    assert verdict("better", [few, many], "share", 0.0).decision == FAILS


def test_a_claim_about_times_takes_a_factor_and_runs_that_never_solve():
    """Times of 100 to 190 steps against 1,000 to 1,900, two of them cut off: ten times as fast, so 5 times, but not 20."""
    fast = Arm([100.0 + 10 * i for i in range(10)], [True] * 10)
    slow = Arm([1000.0 + 100 * i for i in range(8)] + [1800.0] * 2, [True] * 8 + [False] * 2)
    assert verdict("better", [fast, slow], "time", 5.0).decision == HOLDS
    assert verdict("better", [fast, slow], "time", 20.0).decision == FAILS
    assert verdict("better", [fast, slow], "time", 9.0).decision == UNDECIDED
    assert verdict("not_worse", [fast, slow], "time", 1.0).decision == HOLDS
    found = judge("better", [fast, slow], "time", True, 5.0)
    assert found.figure.value == pytest.approx(10, rel=0.1)
    assert found.figure.low is not None and found.figure.high is not None
    assert found.figure.low < 10 < found.figure.high


def test_a_level_of_times_is_in_their_unit_and_never_reached_by_a_run_that_did_not_solve_the_task():
    times = [100.0, 110.0, 120.0, 130.0, 140.0, 150.0]
    solved, unsolved = Arm(times, [True] * 6), Arm([900.0] * 6, [False] * 6)
    assert verdict("below", [solved], "time", 500.0).decision == HOLDS
    assert verdict("above", [solved], "time", 500.0).decision == FAILS
    assert verdict("above", [unsolved], "time", 900.0).decision == HOLDS
    assert verdict("below", [unsolved], "time", 1000.0).decision == UNDECIDED
    assert verdict("above", [unsolved], "time", 1000.0).decision == UNDECIDED
    assert judge("above", [solved], "time", True, 500.0).figure == (120.0, 100.0, 150.0)
    assert judge("above", [unsolved], "time", True, 500.0).figure == (math.inf, 900.0, math.inf)


def test_scores_that_are_equal_but_for_the_margin_tie():
    """Shares of 300 items, most of them equal: subtracting the margin must not put one side before the other."""
    for shift in (0.01, 0.07, 0.3):
        x = 1 - np.array([0, 0, 0, 1, 2, 1, 0, 3]) / 300
        found = judge("better", [Arm((x + shift).tolist()), Arm(x.tolist())], "any", True, shift)
        assert (found.p_holds, found.p_fails) == pytest.approx((found.p_fails, found.p_holds))
        assert found.p_holds > 0.5


def test_a_claim_about_the_best_of_a_search_uses_what_the_searches_share():
    """The second search is worse by 0.1 in every trial, while trials differ by much more: only pairs of draws show it."""
    rng = np.random.default_rng(0)
    quality = rng.gamma(1.0, 2.0, 40)
    draws = tuple(range(40))
    one = Trials(quality, quality + rng.normal(0, 0.01, 40), draws)
    other = Trials(quality + 0.1, quality + 0.1 + rng.normal(0, 0.01, 40), draws)
    apart = other._replace(draws=tuple(range(40, 80)))
    assert decide([judge_search("better", [one, other], 0.1, False, 0.05)])[0].decision == HOLDS
    assert decide([judge_search("better", [one, apart], 0.1, False, 0.05)])[0].decision == UNDECIDED
    assert decide([judge_search("not_worse", [other, one], 0.1, False, 0.05)])[0].decision == FAILS
    backwards = Trials(other.validation[::-1], other.test[::-1], draws[::-1])
    assert decide([judge_search("better", [one, backwards], 0.1, False, 0.05)])[0].decision == HOLDS
    few = [Trials(side.validation[:19], side.test[:19], side.draws[:19]) for side in (one, other)]
    assert decide([judge_search("better", few, 0.1, False, 0.05)])[0].decision == UNDECIDED


def test_one_search_says_that_its_best_are_good_and_never_that_no_better_ones_exist():
    quality = np.random.default_rng(0).gamma(1.0, 2.0, 40)
    search = Trials(quality, quality, tuple(range(40)))
    best = float(np.sort(quality)[:4].mean())
    assert decide([judge_search("below", [search], 0.1, False, best + 2)])[0].decision == HOLDS
    for level in (best - 2, best, 0.0):
        found = judge_search("above", [search], 0.1, False, level)
        assert (found.p_holds, found.figure) == (1.0, (best, None, None))
    higher = Trials(-quality, quality, search.draws)  # chosen are the highest
    assert decide([judge_search("above", [higher], 0.1, True, 0.1)])[0].decision == HOLDS
    assert judge_search("below", [higher], 0.1, True, 100.0).p_holds == 1.0


def test_claims_are_one_family_and_looks_share_what_one_may_spend():
    one = judge("above", [Arm([1.0] * 10)], "share", True, 0.69)  # p = 0.69^10 = 0.0245
    assert one.p_holds == pytest.approx(0.0245, abs=1e-4)
    assert decide([one])[0].decision == UNDECIDED  # the first look may spend 0.02
    assert "not among all claims and looks" in decide([one])[0].note
    strong = judge("above", [Arm([1.0] * 10)], "share", True, 0.6)  # 0.006
    assert decide([strong])[0].decision == HOLDS
    assert decide([strong], look=2)[0].decision == UNDECIDED  # 0.0025
    family = decide([strong] * 5)
    assert {found.decision for found in family} == {UNDECIDED}
    assert family[0].p_holds == pytest.approx(5 * strong.p_holds)
    assert sum(spent(look) for look in range(1, 60)) <= 1
    assert spent(1) > spent(2) > spent(3) > 0
    with pytest.raises(ValueError, match="counted from 1"):
        spent(0)


def test_what_is_shown_of_an_arm():
    assert typical([1.0, 2.0, 30.0], "any").value == 2.0
    assert typical([1.0, 2.0, 30.0], "single").value == 11.0
    assert typical([1.0, 2.0, 30.0], "best") == (11.0, None, None)
    assert typical([3.0], "any") == (3.0, None, None)


@pytest.mark.slow  # a simulation
@pytest.mark.parametrize("n", [3, 10])
def test_false_claims_hold_in_at_most_one_of_forty(n):
    """The truth lies exactly at the margin: normal scores for means, runs that solve or do not for medians, shares and times."""
    rng = np.random.default_rng(1)
    repeats, held = 120, dict.fromkeys(("single", "any", "share", "time"), 0)

    def solving(share: float) -> list[float]:
        return (np.where(rng.random(n) < share, 0.001, 0.16) * rng.lognormal(0, 0.1, n)).tolist()

    for _ in range(repeats):
        normal = [Arm((rng.normal(size=n) + shift).tolist()) for shift in (0.5, 0.0)]
        lower = [Arm(solving(0.5)) for _ in range(2)]
        solved = [Arm((rng.random(n) < share).astype(float).tolist()) for share in (0.8, 0.5)]
        times = [rng.lognormal(7, 0.5, n) * factor for factor in (1, 2)]
        seen = [Arm(np.minimum(t, 3000).tolist(), (t < 3000).tolist()) for t in times]
        held["single"] += judge("better", normal, "single", True, 0.5).p_holds <= ALPHA
        held["any"] += judge("better", lower, "any", False, 0.0).p_holds <= ALPHA
        held["share"] += judge("better", solved, "share", True, 0.3).p_holds <= ALPHA
        held["time"] += judge("better", seen, "time", True, 2.0).p_holds <= ALPHA
    assert max(held.values()) / repeats <= ALPHA + 3 * math.sqrt(ALPHA * (1 - ALPHA) / repeats), held


def test_the_set_is_closed():
    assert set(COMPARISONS) == {"better", "not_worse", "different", "above", "below", "order"}
