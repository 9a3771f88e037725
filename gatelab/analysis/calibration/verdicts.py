"""Claims whose truth lies exactly at their margin: how often they hold all the same, at one look and within five."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from gatelab.analysis.calibration.cells import HOLDS, LOOKS, RUNS, Cell, Job, bounded
from gatelab.analysis.calibration.measured import Measured, share_of
from gatelab.analysis.calibration.truths import (
    BIMODAL,
    BUDGET,
    LOGNORMAL,
    NORMAL,
    SATURATED,
    WRONG,
    Scores,
    Truth,
    linear_mean,
    spread,
    true_median,
    true_median_time,
)
from gatelab.analysis.papers.claims import COMPARISONS, UNDECIDED, Arm, Verdict, combined, decide, evidence
from gatelab.analysis.papers.claims import HOLDS as HELD
from gatelab.analysis.statistics.intervals import Interval

Scatter = Literal["any", "single", "share", "time"]
FIVE = 5  # looks: at n, 2 n, ... 5 n runs
_FACTOR = 1.5  # of times
_SHARE = 0.2  # by which shares differ
_TOGETHER = 5  # claims of one paper
_WORDS = {"any": "ranks", "single": "means", "share": "shares", "time": "times"}
_NOWHERE = Interval(math.nan, None, None)


@dataclass(frozen=True)
class Boundary:
    """A claim that is just not true.

    Attributes:
        comparison, kind, margin: as of `claims.judge`.
        draw: makes the arms, n runs each.
        higher_is_better: the direction of the values.
    """

    comparison: str
    kind: Scatter
    margin: float
    draw: Callable[[np.random.Generator, int], list[Arm]]
    higher_is_better: bool

    def weighed(self, arms: list[Arm], n: int) -> Verdict:
        """The p-values of the claim after the first n runs of each arm."""
        seen = [Arm(arm.values[:n], arm.solved[:n]) for arm in arms]
        steps = evidence(self.comparison, seen, self.kind, self.higher_is_better, self.margin)
        return Verdict(UNDECIDED, _NOWHERE, (n,) * len(arms), *combined(steps))


def verdict_jobs() -> Iterator[Job]:
    """All comparisons of all kinds of values."""
    for boundary, name, judged in _boundaries():
        of = f"{boundary.comparison}, {_word(boundary)}"
        for n in RUNS:
            cells = [_cell(HOLDS, of, name, n, judged), *([_cell(LOOKS, of, name, n)] if judged else [])]
            yield Job(cells, _Simulated(boundary, n, FIVE if judged else 1), 0.6)
    of_papers: list[tuple[Scatter, Truth]] = [(kind, BIMODAL[1]) for kind in ("any", "share", "time")]
    for kind, truth in [*of_papers, ("single", NORMAL)]:
        boundary = _boundary("better", kind, truth)
        for n in RUNS:
            cell = _cell(HOLDS, f"one of {_TOGETHER} claims, {_WORDS[kind]}", truth.name, n)
            yield Job([cell], _Simulated(boundary, n, 1, _TOGETHER), 0.5)


def _word(boundary: Boundary) -> str:
    return "medians" if boundary.kind == "any" and COMPARISONS[boundary.comparison][1] == 1 else _WORDS[boundary.kind]


def _cell(kind: str, of: str, name: str, n: int, judged: bool = True) -> Cell:
    return bounded(kind, of, name, n, 0.035 if kind == LOOKS else 0.03, judged)


@dataclass(frozen=True)
class _Simulated:
    """How often at least one of several claims holds, at the first look and at any of the looks."""

    boundary: Boundary
    n: int
    looks: int
    claims: int = 1

    def __call__(self, repetitions: int, rng: np.random.Generator) -> list[Measured]:
        first: list[bool | None] = []
        ever: list[bool | None] = []
        for _ in range(repetitions):
            arms = [self.boundary.draw(rng, self.n * self.looks) for _ in range(self.claims)]
            held = (self._holds(arms, look) for look in range(1, self.looks + 1))
            first.append(next(held))
            ever.append(first[-1] or any(held))
        return [share_of(first)] if self.looks == 1 else [share_of(first), share_of(ever)]

    def _holds(self, arms: list[list[Arm]], look: int) -> bool:
        decided = decide([self.boundary.weighed(own, look * self.n) for own in arms], look)
        return any(verdict.decision == HELD for verdict in decided)


def _boundaries() -> Iterator[tuple[Boundary, str, bool]]:
    """Claims with the names of their scores, and whether these scatter as the claim says."""
    for comparison, truth in itertools.product(COMPARISONS, (NORMAL, LOGNORMAL, *BIMODAL, SATURATED)):
        yield _boundary(comparison, "any", truth), truth.name.split(",")[0], True
    for comparison in COMPARISONS:
        yield _boundary(comparison, "single", NORMAL), NORMAL.name, True
    for comparison, truth in itertools.product(("better", "above", "below"), WRONG):
        yield _boundary(comparison, "single", truth), truth.name, False
    for comparison, kind, truth in itertools.product(COMPARISONS, ("share", "time"), BIMODAL):
        yield _boundary(comparison, kind, truth), truth.name, True


def _boundary(comparison: str, kind: Scatter, truth: Truth) -> Boundary:
    if kind == "share":
        return _of_shares(comparison, float(truth.name.split()[1]))
    return _of_times(comparison, truth) if kind == "time" else _of_scores(comparison, kind, truth)


def _of_scores(comparison: str, kind: Scatter, truth: Truth) -> Boundary:
    """Arms that differ by a shift; a further arm, if the comparison takes one, lies far on the safe side."""
    ahead = 1.0 if truth.higher_is_better else -1.0
    unit = spread(truth)
    level = true_median(truth) if kind == "any" else linear_mean(truth)
    margin = {"above": level, "below": level, "different": 0.0}.get(comparison, 0.5 * unit)
    far = 100 * unit
    shifts = {
        "better": (ahead * margin, 0.0),
        "not_worse": (-ahead * margin, 0.0),
        "different": (0.0, 0.0),
        "above": (0.0, far),
        "below": (0.0, -far),
        "order": (ahead * far, ahead * margin, 0.0),
    }[comparison]

    def draw(rng: np.random.Generator, n: int) -> list[Arm]:
        return [Arm((truth.draw(rng, (n,)) + shift).tolist()) for shift in shifts]

    return Boundary(comparison, kind, margin, draw, truth.higher_is_better)


def _of_shares(comparison: str, p: float) -> Boundary:
    margin = {"above": p, "below": p, "different": 0.0}.get(comparison, _SHARE)
    shares = {
        "better": (p, p - _SHARE),
        "not_worse": (p - _SHARE, p),
        "different": (p, p),
        "above": (p,),
        "below": (p,),
        "order": (1.0, p, p - _SHARE),
    }[comparison]

    def draw(rng: np.random.Generator, n: int) -> list[Arm]:
        return [Arm((rng.random(n) < share).astype(float).tolist()) for share in shares]

    return Boundary(comparison, "share", margin, draw, True)


def _of_times(comparison: str, truth: Truth) -> Boundary:
    level = min(true_median_time(truth), float(BUDGET))
    margin = {"above": level, "below": level, "different": 1.0}.get(comparison, _FACTOR)
    paces = {
        "better": (1 / _FACTOR, 1.0),
        "not_worse": (_FACTOR, 1.0),
        "different": (1.0, 1.0),
        "above": (1.0,),
        "below": (1.0,),
        "order": (0.0, 1 / _FACTOR, 1.0),
    }[comparison]
    sides = [replace(truth, pace=pace) for pace in paces if pace]

    def timed(rng: np.random.Generator, side: Truth, scores: Scores) -> Arm:
        found = side.times(rng, scores)
        return Arm(np.asarray(found.times, dtype=float).tolist(), np.asarray(found.solved).tolist())

    def draw(rng: np.random.Generator, n: int) -> list[Arm]:
        first = [Arm([1.0] * n, [True] * n)] * (len(paces) - len(sides))  # all solve the task at once
        return [*first, *(timed(rng, side, truth.draw(rng, (n,))) for side in sides)]

    return Boundary(comparison, "time", margin, draw, False)
