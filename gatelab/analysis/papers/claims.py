"""Claims of papers and what runs say of them: a small closed set of comparisons, each decided by an interval."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gatelab.analysis.statistics.differences import Sample
from gatelab.analysis.statistics.effects import seeds_needed, smallest_difference
from gatelab.analysis.statistics.intervals import LEVEL, Interval, mean_interval, moments
from gatelab.analysis.statistics.means import Spread, interval_of, spread_of

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"


@dataclass(frozen=True)
class Verdict:
    """What runs say of a claim.

    Attributes:
        decision: "holds", "does not hold" or "undecided".
        figure: what decided, with its interval: an advantage, a difference or a mean; of an order its narrowest step.
        n: runs of each arm, in the order of the arms.
        detectable: the smallest difference that these runs detect with a probability of 80%, beside the margin.
        needed: of an undecided claim, runs of each arm that would decide it with a probability of 80% if the figure is right; None
            where that is not determined.
        note: why nothing could be decided, or "".
    """

    decision: str
    figure: Interval
    n: tuple[int, ...]
    detectable: float | None = None
    needed: int | None = None
    note: str = ""


def better(samples: Sequence[Sample], higher_is_better: bool, margin: float) -> Verdict:
    """The first arm is better than the second by more than the margin: the interval of its advantage lies above the margin.

    It does not hold when the interval lies below. The advantage is mean(first) - mean(second), its sign turned where lower is
    better; paired where both have the same seeds, else Welch's.
    """
    return _advantage(samples, higher_is_better, margin, lambda low, high: (low > margin, high < margin))


def not_worse(samples: Sequence[Sample], higher_is_better: bool, margin: float) -> Verdict:
    """The first arm is not worse than the second by more than the margin: the interval of its advantage lies above -margin."""
    return _advantage(samples, higher_is_better, -margin, lambda low, high: (low > -margin, high < -margin))


def different(samples: Sequence[Sample], higher_is_better: bool, margin: float) -> Verdict:
    """The arms differ: the interval of the advantage leaves out 0. They do not when it lies within the margin on both sides."""
    return _advantage(samples, higher_is_better, 0.0, lambda low, high: (low > 0 or high < 0, -margin < low <= 0 <= high < margin))


def above(samples: Sequence[Sample], _: bool, margin: float) -> Verdict:
    """The mean of every arm lies above the level `margin`, whatever direction is better."""
    return _level(samples, margin, 1, lambda low, high: (low > margin, high < margin))


def below(samples: Sequence[Sample], _: bool, margin: float) -> Verdict:
    """The mean of every arm lies below the level `margin`, whatever direction is better."""
    return _level(samples, margin, -1, lambda low, high: (high < margin, low > margin))


def ordered(samples: Sequence[Sample], higher_is_better: bool, margin: float) -> Verdict:
    """Every arm is better than the next by more than the margin."""
    pairs = list(itertools.pairwise(samples))
    level = _each(len(pairs))
    steps = [_advantage(pair, higher_is_better, margin, lambda low, high: (low > margin, high < margin), level) for pair in pairs]
    return _together(samples, steps, lambda step: step.figure.value)


ClaimTest = Callable[[Sequence[Sample], bool, float], Verdict]
# By the word that a paper's claims use: the comparison, and how many arms it takes at least and at most (None: any number).
COMPARISONS: dict[str, tuple[ClaimTest, int, int | None]] = {
    "better": (better, 2, 2),
    "not_worse": (not_worse, 2, 2),
    "different": (different, 2, 2),
    "above": (above, 1, None),
    "below": (below, 1, None),
    "order": (ordered, 2, None),
}


def _each(count: int) -> float:
    """The confidence of each of so many intervals that are right together at 95%, after Bonferroni."""
    return 1 - (1 - LEVEL) / max(1, count)


def _together(samples: Sequence[Sample], steps: Sequence[Verdict], distance: Callable[[Verdict], float]) -> Verdict:
    """A claim that holds when every step does, shown by the step that decides: the one nearest to failing if all hold."""
    n = tuple(len(sample.scores) for sample in samples)
    for decision in (FAILS, UNDECIDED, HOLDS):  # one step that fails is enough; one that is open leaves the claim open
        found = [step for step in steps if step.decision == decision]
        if found:
            return dataclasses.replace(min(found, key=distance), n=n)
    raise ValueError("a claim has at least one step")


def _advantage(
    samples: Sequence[Sample],
    higher_is_better: bool,
    threshold: float,
    decide: Callable[[float, float], tuple[bool, bool]],
    level: float = LEVEL,
) -> Verdict:
    n = (len(samples[0].scores), len(samples[1].scores))
    broken = sum(not math.isfinite(score) for sample in samples for score in sample.scores)
    if broken:
        return Verdict(UNDECIDED, Interval(math.nan, None, None), n, note=f"{broken} runs have no finite value")
    spread = spread_of(*samples)
    if not higher_is_better:
        spread = spread._replace(value=-spread.value)
    return _decided(spread, interval_of(spread, level), n, threshold, decide, level)


def _level(samples: Sequence[Sample], threshold: float, sign: int, decide: Callable[[float, float], tuple[bool, bool]]) -> Verdict:
    steps = [_one_level(sample, threshold, decide, _each(len(samples))) for sample in samples]
    return _together(samples, steps, lambda step: sign * step.figure.value)


def _one_level(sample: Sample, threshold: float, decide: Callable[[float, float], tuple[bool, bool]], level: float) -> Verdict:
    n = len(sample.scores)
    broken = sum(not math.isfinite(score) for score in sample.scores)
    if broken:
        return Verdict(UNDECIDED, Interval(math.nan, None, None), (n,), note=f"{broken} runs have no finite value")
    mean, variance, _ = moments(sample.scores)
    spread = Spread(mean, None if variance is None else math.sqrt(variance / n), n - 1)
    return _decided(spread, mean_interval(sample.scores, level), (n,), threshold, decide, level)


def _decided(
    spread: Spread,
    figure: Interval,
    n: tuple[int, ...],
    threshold: float,
    decide: Callable[[float, float], tuple[bool, bool]],
    level: float,
) -> Verdict:
    if figure.low is None or figure.high is None:
        return Verdict(UNDECIDED, figure, n, note="one run decides nothing: an interval needs two of each arm")
    holds, fails = decide(figure.low, figure.high)
    detectable = smallest_difference(spread.standard_error, spread.degrees, 1 - level) if spread.standard_error else None
    if holds or fails:
        return Verdict(HOLDS if holds else FAILS, figure, n, detectable)
    distance, needed = figure.value - threshold, None
    if spread.standard_error and distance:
        needed = seeds_needed(distance, spread.standard_error, spread.degrees, min(n), 1 - level)
    return Verdict(UNDECIDED, figure, n, detectable, needed)
