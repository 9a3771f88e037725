"""What is measured, and how: simulations that call the very functions whose results are printed."""

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
    true_median_time,
    true_share,
    true_share_by,
    true_shift,
    true_time,
)
from gatelab.analysis.statistics.differences import Difference, Family, Sample, differences
from gatelab.analysis.statistics.intervals import Interval, median_interval, performance_profile
from gatelab.analysis.statistics.shapes import clusters, degenerate
from gatelab.analysis.statistics.survival import kaplan_meier, median_time, restricted_mean, share_interval

HALFWAY = 400.0  # step


@dataclass(frozen=True)
class Measured:
    """A share of repetitions.

    Attributes:
        share: of those counted; nan if there were none, as of an interval that is not printed.
        count: how many; infinite for a share that was computed and not simulated.
        of: repetitions in all, counted or not.
        spread: the standard error where it is not that of a share.
    """

    share: float
    count: float
    of: int
    spread: float | None = None

    @property
    def error(self) -> float:
        """The standard error of the simulation, at least that of one repetition in `count`."""
        if self.spread is not None or not self.count or math.isinf(self.count):
            return self.spread or 0.0
        p = min(max(self.share, 1 / (self.count + 1)), 1 - 1 / (self.count + 1))
        return math.sqrt(p * (1 - p) / self.count)


def share_of(hits: Iterable[bool | None]) -> Measured:
    """The share of what holds; None is not counted."""
    every = list(hits)
    known = [hit for hit in every if hit is not None]
    return Measured(sum(known) / len(known) if known else math.nan, len(known), len(every))


def covers(interval: Interval | None, truth: float) -> bool | None:
    """Whether it holds the truth, but for rounding; None where there is no interval."""
    if interval is None or interval.low is None or interval.high is None:
        return None
    slack = 1e-9 * max(1.0, abs(truth)) if math.isfinite(truth) else 0.0
    return interval.low - slack <= truth <= interval.high + slack


def mean(truth: Truth, n: int, repetitions: int, rng: np.random.Generator) -> Measured:
    """Coverage of the mean's interval, of the samples of which one is printed: those that nothing speaks against."""
    target = true_mean(truth)
    hits: list[bool | None] = []
    for scores in truth.draw(rng, (repetitions, n)):
        odd = degenerate(scores, truth.axis) or clusters([scores], truth.axis, truth.higher_is_better, truth.chance, truth.solved)
        hits.append(None if odd else covers(truth.axis.mean(scores), target))
    return share_of(hits)


def median(truth: Truth, n: int, repetitions: int, rng: np.random.Generator) -> Measured:
    """Coverage of the median's interval."""
    target = true_median(truth)
    return share_of(covers(median_interval(scores), target) for scores in truth.draw(rng, (repetitions, n)))


def share_solved(p: float, n: int) -> Measured:
    """Coverage of the interval of the share that solves the task, computed: over all numbers that can solve it."""
    chances = stats.binom.pmf(np.arange(n + 1), n, p)
    return Measured(sum(chance for count, chance in enumerate(chances) if covers(share_interval(count, n), p)), math.inf, n + 1)


def time_to_solve(truth: Truth, n: int, repetitions: int, rng: np.random.Generator) -> Measured:
    """Coverage of the restricted mean of the time to solve."""
    target = true_time(truth)
    samples = (truth.times(rng, scores) for scores in truth.draw(rng, (repetitions, n)))
    return share_of(covers(restricted_mean(times, BUDGET), target) for times in samples)


def median_time_to_solve(truth: Truth, n: int, repetitions: int, rng: np.random.Generator) -> Measured:
    """Coverage of the median time to solve."""
    target = true_median_time(truth)
    samples = (truth.times(rng, scores) for scores in truth.draw(rng, (repetitions, n)))
    return share_of(covers(median_time(times), target) for times in samples)


def curve(truth: Truth, n: int, repetitions: int, rng: np.random.Generator) -> Measured:
    """Coverage of the curve of the share solved, at the step at which half of the runs that solve the task have done so."""
    target = true_share_by(truth, HALFWAY)
    hits = []
    for scores in truth.draw(rng, (repetitions, n)):
        found = kaplan_meier(truth.times(rng, scores))
        place = int(np.searchsorted(found.times, HALFWAY, side="right")) - 1
        hits.append(covers(Interval(float(found.share[place]), float(found.low[place]), float(found.high[place])), target))
    return share_of(hits)


def _sample(truth: Truth, scores: NDArray[np.float64], rng: np.random.Generator, on_time: bool) -> Sample:
    return Sample(scores.tolist(), range(scores.size), truth.times(rng, scores) if on_time else None)


def family_of(truths: Sequence[Truth], n: int, rng: np.random.Generator, on_time: bool = False) -> Family:
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
        shares = ["share solved, difference"] if one.pace == other.pace else []
        return ["P(better), times", *shares, *(["time ratio"] if one.draw is other.draw else [])]
    return ["P(better)", *(["difference, Dunnett", "effect size"] if one.shape == "single" else ["difference, ranks"])]


def together(one: Truth, other: Truth, n: int, repetitions: int, rng: np.random.Generator, on_time: bool) -> dict[str, Measured]:
    """Coverage of all intervals of one comparison: of the difference, the probability to win, and the shares."""
    names = compared(one, other, on_time)
    of: dict[str, tuple[Callable[[Difference], Interval | None], float]] = {}
    for name in names:
        if name.startswith("P(better)"):
            of[name] = (lambda found: found.improvement), true_improvement(one, other, on_time)
        elif name.startswith("share"):
            of[name] = (lambda found: found.share), true_share(one) - true_share(other)
        elif name.startswith("effect"):
            of[name] = (lambda found: found.effect), 0.0
        else:
            shift = _true_mean_difference if one.shape == "single" else true_shift
            of[name] = (lambda found: found.size), one.pace / other.pace if on_time else shift(one, other)
    hits: dict[str, list[bool | None]] = {name: [] for name in names}
    for _ in range(repetitions):
        ((found,),) = differences([family_of([other, one], n, rng, on_time)])
        for name, (interval, truth) in of.items():
            # Where all runs solve the task, or none, scores are compared and not times.
            hits[name].append(covers(interval(found), truth) if found.on_time == on_time else None)
    return {name: share_of(found) for name, found in hits.items()}


def _true_mean_difference(one: Truth, other: Truth) -> float:
    return true_mean(one) - true_mean(other) if one.axis.scale == "linear" else true_mean(one) / true_mean(other)


def simultaneous(truth: Truth, variants: int, n: int, on_time: bool, repetitions: int, rng: np.random.Generator) -> Measured:
    """How often all adjusted intervals of a family hold no difference, if there is none."""
    nothing = 0.0 if truth.axis.scale == "linear" else 1.0
    hits: list[bool | None] = []
    for _ in range(repetitions):
        (found,) = differences([family_of([truth] * (variants + 1), n, rng, on_time)])
        held = [covers(item.simultaneous, nothing) for item in found]
        hits.append(None if None in held else all(held))
    return share_of(hits)


def paired(truth: Truth, n: int, repetitions: int, rng: np.random.Generator) -> Measured:
    """Coverage of the difference of pairs that have nothing in common but their seeds."""
    nothing = 0.0 if truth.axis.scale == "linear" else 1.0
    hits = []
    for _ in range(repetitions):
        base, other = (Sample(truth.draw(rng, (n,)).tolist(), range(n)) for _ in range(2))
        family = Family(base, [other], truth.higher_is_better, truth.axis, truth.shape, truth.chance, truth.solved)
        ((found,),) = differences([family], paired=True)
        hits.append(covers(found.size, nothing))
    return share_of(hits)


def profile(n: int, tasks: int, repetitions: int, rng: np.random.Generator) -> Measured:
    """Coverage of the band of a performance profile where one run of six lies above."""
    truth = float(stats.norm.sf(1.0))
    hits = []
    for scores in rng.standard_normal((repetitions, tasks, n)):
        found = performance_profile(list(scores), [1.0])
        hits.append(covers(Interval(float(found.share[0]), float(found.low[0]), float(found.high[0])), truth))
    return share_of(hits)
