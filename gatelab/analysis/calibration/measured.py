"""What is measured, and how: simulations that call the very functions whose results are printed."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gatelab.analysis.calibration.truths import (
    BUDGET,
    Truth,
    true_improvement,
    true_mean,
    true_median,
    true_share,
    true_shift,
    true_time,
)
from gatelab.analysis.statistics.differences import Difference, Family, Sample, adjusted, differences, tests_of
from gatelab.analysis.statistics.intervals import LEVEL, Interval, median_interval
from gatelab.analysis.statistics.shapes import clusters, degenerate
from gatelab.analysis.statistics.survival import restricted_mean, share_interval

ALPHA = 1 - LEVEL


@dataclass(frozen=True)
class Measured:
    """A share of repetitions.

    Attributes:
        share: of those counted; nan if there were none, as of an interval that is not printed.
        count: how many; infinite for a share that was computed and not simulated.
        of: repetitions in all, counted or not.
    """

    share: float
    count: float
    of: int

    @property
    def error(self) -> float:
        """The standard error of the simulation, at least that of one repetition in `count`."""
        if not self.count or math.isinf(self.count):
            return 0.0
        p = min(max(self.share, 1 / (self.count + 1)), 1 - 1 / (self.count + 1))
        return math.sqrt(p * (1 - p) / self.count)


def _share(hits: Iterable[bool | None]) -> Measured:
    """The share of what holds; None is not counted."""
    every = list(hits)
    known = [hit for hit in every if hit is not None]
    return Measured(sum(known) / len(known) if known else math.nan, len(known), len(every))


def _covers(interval: Interval | None, truth: float) -> bool | None:
    """Whether it holds the truth, but for rounding; None where there is no interval."""
    if interval is None or interval.low is None or interval.high is None:
        return None
    slack = 1e-9 * max(1.0, abs(truth))
    return interval.low - slack <= truth <= interval.high + slack


def mean(truth: Truth, n: int, repetitions: int, rng: np.random.Generator) -> Measured:
    """Coverage of the mean's interval, of the samples of which one is printed: those that nothing speaks against."""
    target = true_mean(truth)
    hits: list[bool | None] = []
    for scores in truth.draw(rng, (repetitions, n)):
        odd = degenerate(scores, truth.axis) or clusters([scores], truth.axis, truth.higher_is_better, truth.chance, truth.solved)
        hits.append(None if odd else _covers(truth.axis.mean(scores), target))
    return _share(hits)


def median(truth: Truth, n: int, repetitions: int, rng: np.random.Generator) -> Measured:
    """Coverage of the median's interval."""
    target = true_median(truth)
    return _share(_covers(median_interval(scores), target) for scores in truth.draw(rng, (repetitions, n)))


def share_solved(p: float, n: int) -> Measured:
    """Coverage of the interval of the share that solves the task, computed: over all numbers that can solve it."""
    chances = stats.binom.pmf(np.arange(n + 1), n, p)
    return Measured(sum(chance for count, chance in enumerate(chances) if _covers(share_interval(count, n), p)), math.inf, n + 1)


def time_to_solve(truth: Truth, n: int, repetitions: int, rng: np.random.Generator) -> Measured:
    """Coverage of the restricted mean of the time to solve."""
    target = true_time(truth)
    samples = (truth.times(rng, scores) for scores in truth.draw(rng, (repetitions, n)))
    return _share(_covers(restricted_mean(times, BUDGET), target) for times in samples)


def _sample(truth: Truth, scores: NDArray[np.float64], rng: np.random.Generator, on_time: bool) -> Sample:
    return Sample(scores.tolist(), (), truth.times(rng, scores) if on_time else None)


def _family(truths: Sequence[Truth], n: int, rng: np.random.Generator, on_time: bool = False) -> Family:
    """A baseline and its variants, in this order, n runs each."""
    first = truths[0]
    base, *others = (_sample(truth, truth.draw(rng, (n,)), rng, on_time) for truth in truths)
    until = None
    if on_time:
        solved = np.concatenate([np.asarray(item.times.solved) for item in (base, *others) if item.times is not None])
        until = BUDGET if solved.any() and not solved.all() else None  # as a comparison chooses
    return Family(base, others, first.higher_is_better, first.axis, first.shape, first.chance, first.solved, until)


def compared(one: Truth, other: Truth, on_time: bool) -> list[str]:
    """The names of what `together` measures: a ratio of times where one side is the other at this or another pace."""
    if on_time:
        others = ["P(better), times", "share solved, difference"] if one.pace == other.pace else []
        return [*others, *(["time ratio"] if one.draw is other.draw else [])]
    return ["P(better)", "difference, Dunnett" if one.shape == "single" else "difference, ranks"]


def together(one: Truth, other: Truth, n: int, repetitions: int, rng: np.random.Generator, on_time: bool) -> dict[str, Measured]:
    """Coverage of all intervals of one comparison: of the difference, the probability to win, and the shares."""
    names = compared(one, other, on_time)
    of: dict[str, tuple[Callable[[Difference], Interval | None], float]] = {}
    for name in names:
        if name.startswith("P(better)"):
            of[name] = (lambda found: found.improvement), true_improvement(one, other, on_time)
        elif name.startswith("share"):
            of[name] = (lambda found: found.share), true_share(one) - true_share(other)
        else:
            shift = _true_mean_difference if one.shape == "single" else true_shift
            of[name] = (lambda found: found.size), one.pace / other.pace if on_time else shift(one, other)
    hits: dict[str, list[bool | None]] = {name: [] for name in names}
    for _ in range(repetitions):
        ((found,),) = differences([_family([other, one], n, rng, on_time)])
        for name, (interval, truth) in of.items():
            # Where all runs solve the task, or none, scores are compared and not times.
            hits[name].append(_covers(interval(found), truth) if found.on_time == on_time else None)
    return {name: _share(found) for name, found in hits.items()}


def _true_mean_difference(one: Truth, other: Truth) -> float:
    return true_mean(one) - true_mean(other) if one.axis.scale == "linear" else true_mean(one) / true_mean(other)


def simultaneous(truth: Truth, variants: int, n: int, on_time: bool, repetitions: int, rng: np.random.Generator) -> Measured:
    """How often all adjusted intervals of a family hold no difference, if there is none."""
    nothing = 0.0 if truth.axis.scale == "linear" else 1.0
    hits: list[bool | None] = []
    for _ in range(repetitions):
        (found,) = differences([_family([truth] * (variants + 1), n, rng, on_time)])
        held = [_covers(item.simultaneous, nothing) for item in found]
        hits.append(None if None in held else all(held))
    return _share(hits)


def family_error(
    truths: Sequence[Truth], n: int, repetitions: int, rng: np.random.Generator, on_time: bool, tasks: Sequence[int]
) -> list[Measured]:
    """How often a comparison of several variants that do not differ finds a difference, over so many tasks.

    The families of many tasks are drawn from those that were simulated, and adjusted as a comparison's are.

    Args:
        truths: of the baseline and of the variants, which must have the same mean on their scale.
        tasks: numbers of tasks, one result each.
    """
    families = [tests_of(_family(truths, n, rng, on_time), False) for _ in range(repetitions)]
    found = []
    for count in tasks:
        drawn = [[place] for place in range(repetitions)] if count == 1 else rng.integers(repetitions, size=(repetitions, count))
        every = (adjusted([families[place] for place in places], ALPHA) for places in drawn)
        hits = _share(any(p is not None and p < ALPHA for family in together for p in family) for together in every)
        found.append(dataclasses.replace(hits, count=repetitions / count))  # families are used again: fewer are independent
    return found


def power(draw: Callable[[np.random.Generator], Family], repetitions: int, rng: np.random.Generator) -> Measured:
    """How often the first variant of a family is found to be better."""
    hits = []
    for _ in range(repetitions):
        drafts = tests_of(draw(rng), False)
        (ps,) = adjusted([drafts], ALPHA)
        hits.append(ps[0] is not None and ps[0] < ALPHA and drafts[0].better)
    return _share(hits)
