"""Comparisons on synthetic results whose truth is known: what is true holds, what is false is caught, what is open stays open."""

import math

import numpy as np
import pytest

from gatelab.analysis.papers.claims import COMPARISONS, FAILS, HOLDS, UNDECIDED, above, below, better, different, not_worse, ordered
from gatelab.analysis.statistics.differences import Sample


def sample(mean: float, n: int = 20, spread: float = 1.0, seed: int = 0, seeds: bool = False) -> Sample:
    """n values with exactly this mean and standard deviation."""
    x = np.random.default_rng(seed).normal(size=n)
    x = (x - x.mean()) / x.std(ddof=1) if n > 1 else np.zeros(n)
    return Sample((mean + spread * x).tolist(), tuple(range(n)) if seeds else ())


HALF = 2.0244 * math.sqrt(2 / 20)  # of Welch's 95% interval for two samples of 20 with deviation 1: t(38) = 2.0244


@pytest.mark.parametrize("higher_is_better", [True, False])
@pytest.mark.parametrize(
    ("comparison", "advantage", "margin", "verdict"),
    [
        (better, 1.0, 0.3, HOLDS),
        (better, 1.0, 1.0 - HALF + 0.01, UNDECIDED),
        (better, 1.0, 1.0 - HALF - 0.01, HOLDS),
        (better, 0.0, 1.0, FAILS),
        (better, -1.0, 0.0, FAILS),
        (better, 0.1, 0.0, UNDECIDED),
        (not_worse, 0.0, 1.0, HOLDS),
        (not_worse, -1.0, 0.2, FAILS),
        (not_worse, 0.0, 0.2, UNDECIDED),
        (not_worse, 1.0, 0.1, HOLDS),
        (different, 1.0, 0.0, HOLDS),
        (different, -1.0, 0.0, HOLDS),
        (different, 0.0, 1.0, FAILS),
        (different, 0.0, 0.2, UNDECIDED),
    ],
)
def test_two_arms(comparison, advantage, margin, verdict, higher_is_better):
    sign = 1 if higher_is_better else -1
    found = comparison([sample(5 + sign * advantage), sample(5, seed=1)], higher_is_better, margin)
    assert found.decision == verdict
    assert found.figure.value == pytest.approx(advantage)
    assert found.figure.low == pytest.approx(advantage - HALF, abs=1e-3)
    assert found.figure.high == pytest.approx(advantage + HALF, abs=1e-3)
    assert found.n == (20, 20)
    assert (found.needed is not None) == (verdict == UNDECIDED and (comparison, advantage) != (different, 0.0))


@pytest.mark.parametrize(
    ("comparison", "level", "verdict"),
    [
        (above, 4.0, HOLDS),
        (above, 6.0, FAILS),
        (above, 5.1, UNDECIDED),
        (below, 6.0, HOLDS),
        (below, 4.0, FAILS),
        (below, 5.1, UNDECIDED),
    ],
)
def test_levels(comparison, level, verdict):
    for higher_is_better in (True, False):
        found = comparison([sample(5.0)], higher_is_better, level)
        assert found.decision == verdict
        assert found.figure.high - found.figure.value == pytest.approx(2.0930 / math.sqrt(20), abs=1e-3)  # t(19)


def test_an_order_holds_when_every_step_does_and_fails_with_one():
    a, b, c = sample(7.0), sample(5.0, seed=1), sample(3.0, seed=2)
    close = sample(2.9, seed=3)
    assert ordered([a, b, c], True, 0.0).decision == HOLDS
    assert ordered([a, b, c], True, 0.0).figure.value == pytest.approx(2.0)
    assert ordered([c, b, a], True, 0.0).decision == FAILS
    assert ordered([c, b, a], False, 0.0).decision == HOLDS
    assert ordered([a, c, close], True, 0.0).decision == UNDECIDED
    assert ordered([a, c, b, close], True, 0.0).decision == FAILS
    assert ordered([a, b, c], True, 0.0).n == (20, 20, 20)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_level_is_for_every_arm(sign):
    compare = above if sign > 0 else below
    far, near, beyond = (sample(sign * mean, seed=index) for index, mean in enumerate((5.0, 3.0, 0.0)))
    found = compare([far, near], True, sign * 2.0)
    assert (found.decision, found.n) == (HOLDS, (20, 20))
    assert found.figure.value == pytest.approx(sign * 3.0)  # the arm nearest to the level
    assert compare([far, near, beyond], True, sign * 2.0).decision == FAILS
    assert compare([far, near, beyond], True, sign * 2.0).figure.value == pytest.approx(0.0)
    assert compare([far, near], True, sign * 2.9).decision == UNDECIDED


def test_a_level_for_many_arms_asks_more_of_each():
    assert above([sample(0.5)], True, 0.0).decision == HOLDS
    assert above([sample(0.5, seed=seed) for seed in range(10)], True, 0.0).decision == UNDECIDED


def test_an_order_of_many_asks_more_of_every_step():
    """The same step that is decided alone is open among ten."""
    pair = [sample(0.7), sample(0.0, seed=1)]
    assert better(pair, True, 0.0).decision == HOLDS
    long = [sample(100.0 - 10 * step, seed=step) for step in range(10)] + pair
    assert ordered(long, True, 0.0).decision == UNDECIDED


def test_pairs_decide_what_the_spread_of_seeds_hides():
    a, b = sample(1.2, spread=10, seeds=True), sample(0.0, spread=10, seeds=True)
    b = Sample([value + 0.01 * index for index, value in enumerate(b.scores)], b.seeds)
    assert better([a, b], True, 0.5).decision == HOLDS
    assert better([Sample(a.scores), Sample(b.scores)], True, 0.5).decision == UNDECIDED


def test_one_run_and_a_diverged_run_decide_nothing():
    for found in (better([sample(1, n=1), sample(0)], True, 0.0), above([sample(1, n=1)], True, 0.0)):
        assert found.decision == UNDECIDED
        assert "one run decides nothing" in found.note
    broken = Sample([1.0, math.inf, 2.0])
    for found in (better([broken, sample(0)], True, 0.0), below([broken], True, 5.0)):
        assert found.decision == UNDECIDED
        assert "no finite value" in found.note


def test_the_number_of_runs_that_would_decide_does():
    """With that many runs of the same spread, simulated, the claim is decided about as often as promised: 80%."""
    open_claim = better([sample(0.4), sample(0.0, seed=1)], True, 0.0)
    assert open_claim.decision == UNDECIDED
    n = open_claim.needed
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(400):
        arms = [Sample(generator.normal(mean, 1.0, n).tolist()) for mean in (0.4, 0.0)]
        held += better(arms, True, 0.0).decision == HOLDS
    assert held / 400 == pytest.approx(0.8, abs=4 * 0.4 / 20)


@pytest.mark.slow  # a simulation
def test_false_claims_hold_in_one_of_forty():
    """The advantage is exactly the margin, so that the claim is not true: its interval lies above in 2.5% of all cases."""
    generator = np.random.default_rng(1)
    held = sum(
        better([Sample(generator.normal(0.5, 1.0, 8).tolist()), Sample(generator.normal(0.0, 1.0, 8).tolist())], True, 0.5).decision
        == HOLDS
        for _ in range(2000)
    )
    assert held / 2000 == pytest.approx(0.025, abs=4 * math.sqrt(0.025 * 0.975 / 2000))


def test_the_set_is_closed():
    assert set(COMPARISONS) == {"better", "not_worse", "different", "above", "below", "order"}
