"""Searches over options whose truth is known: what is printed of their best trials, of their budgets and of what mattered."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from gatelab.analysis.calibration.cells import FALSE_SEARCHES, SEARCHES, TRIALS, WIDTHS, Cell, Job, bounded
from gatelab.analysis.calibration.known_shares import EVENNESS, NOISE, known_shares
from gatelab.analysis.calibration.measured import Measured, covers, share_of
from gatelab.analysis.importance.errors import determined, with_error
from gatelab.analysis.papers.claims import ALPHA, COMPARISONS, judge_search
from gatelab.analysis.statistics.budget import budget
from gatelab.analysis.statistics.intervals import Interval
from gatelab.analysis.statistics.selection import Selected, Trials

TENTH = 0.1  # the best trials that count
SHEET = 40  # trials of the setting whose half width has a bar
MOST_WIDE = 0.08
_SLOPE, _SEEDS, _TEST = 0.8, 0.056, 0.01  # so that true standard deviation and Welch's half width are .037 and .169 of 40 trials
_RATES = np.log([5e-3, 5.0])
_BUDGETS = (2, 3, 5, 10)
_OPTIONS = 4
_MARGIN = 0.15
_FAR = 10.0

Draws = NDArray[np.float64]


def search_jobs() -> Iterator[Job]:
    """Differences of the best tenth, the best of k, shares of variance, and claims about the best."""
    for apart, n in itertools.product((False, True), TRIALS):
        words = "own draws" if apart else "shared draws"
        cells = [_cell("difference of the best tenth", words, n)]
        cells.append(bounded(WIDTHS, "difference of the best tenth", words, n, math.nan if apart or n != SHEET else MOST_WIDE))
        yield Job(cells, _Difference(n, apart), 0.4)
    for n in TRIALS:
        yield Job([_cell("best tenth of one search", "shared draws", n)], _Alone(n), 0.05)
    for (name, draw), n in itertools.product(_SCORES.items(), TRIALS):
        ks = (1, *_BUDGETS)
        yield Job([_cell(f"expected best of {k}", name, n) for k in ks], _Budget(draw, n, ks), 0.3)
    for n in TRIALS:
        cells = [_cell(f"share of the variance, {word}", f"{_OPTIONS} options", n) for word in ("options", "interactions")]
        yield Job(cells, _Shares(n), 0.08)
    for comparison, n in itertools.product(COMPARISONS, TRIALS):
        cell = bounded(FALSE_SEARCHES, f"{comparison}, best tenth", "shared draws", n, 0.03)
        yield Job([cell], _Claim(comparison, n), 0.4)


def _cell(of: str, truth: str, n: int) -> Cell:
    return Cell(SEARCHES, of, truth, n, 0.92 if "tenth" in of else 0.93, 0.98)


def _trials(rng: np.random.Generator, n: int, draws: Draws, first: int = 0, shift: float = 0.0) -> Trials:
    """A search over learning rate, noise on the input and size, as that of the odyssey on music; lower is better.

    Args:
        draws: (n, 3), uniform in (0, 1); `first`: by which number they are known.
        shift: of the score.
    """
    rate = _RATES[0] + draws[:, 0] * (_RATES[1] - _RATES[0])
    quality = 8.3 + _SLOPE * (1.3 * draws[:, 1] + 0.12 * (rate - math.log(0.3)) ** 2 + 0.3 * draws[:, 2])
    validation = quality + shift + _SEEDS * rng.standard_normal(n)
    return Trials(validation, validation + 0.1 + _TEST * rng.standard_normal(n), tuple(range(first, first + n)))


@dataclass(frozen=True)
class _Difference:
    """Two searches that do not differ: coverage and half width of the interval of their difference."""

    n: int
    apart: bool

    def __call__(self, repetitions: int, rng: np.random.Generator) -> list[Measured]:
        hits: list[bool | None] = []
        widths = []
        for _ in range(repetitions):
            draws = rng.random((self.n, 3))
            other = rng.random((self.n, 3)) if self.apart else draws
            sides = _trials(rng, self.n, draws), _trials(rng, self.n, other, self.n if self.apart else 0)
            interval = Selected(sides[0], TENTH, sides[1]).interval()
            hits.append(covers(interval, 0.0))
            assert interval.low is not None and interval.high is not None
            widths.append((interval.high - interval.low) / 2)
        spread = float(np.std(widths)) / math.sqrt(repetitions)
        return [share_of(hits), Measured(float(np.mean(widths)), repetitions, repetitions, spread)]


@dataclass(frozen=True)
class _Alone:
    """One search: no interval is printed."""

    n: int

    def __call__(self, repetitions: int, rng: np.random.Generator) -> list[Measured]:
        found = (Selected(_trials(rng, self.n, rng.random((self.n, 3))), TENTH).interval() for _ in range(repetitions))
        return [share_of(covers(interval, 0.0) for interval in found)]


@dataclass(frozen=True)
class _Claim:
    """A claim about the best tenth whose truth lies at its margin."""

    comparison: str
    n: int

    def __call__(self, repetitions: int, rng: np.random.Generator) -> list[Measured]:
        level = _typical_best(self.n)
        shifts, margin = {
            "better": ((0.0, _MARGIN), _MARGIN),
            "not_worse": ((_MARGIN, 0.0), _MARGIN),
            "different": ((0.0, 0.0), 0.0),
            "above": ((0.0,), level),
            "below": ((0.0,), level),
            "order": ((-_FAR, 0.0, _MARGIN), _MARGIN),
        }[self.comparison]
        held = []
        for _ in range(repetitions):
            draws = rng.random((self.n, 3))
            sides = [_trials(rng, self.n, draws, shift=shift) for shift in shifts]
            held.append(judge_search(self.comparison, sides, TENTH, False, margin).p_holds <= ALPHA)
        return [share_of(held)]


def _typical_best(n: int) -> float:
    """What half of such searches reach."""
    rng = np.random.default_rng(8)
    return float(np.median([Selected.estimate(_trials(rng, n, rng.random((n, 3))), TENTH) for _ in range(4000)]))


def _lognormal(rng: np.random.Generator, shape: tuple[int, ...]) -> Draws:
    return np.exp(rng.standard_normal(shape))


def _bowl(rng: np.random.Generator, shape: tuple[int, ...]) -> Draws:
    return ((rng.random((*shape, 2)) - 0.4) ** 2).sum(axis=-1)


def _fifth(rng: np.random.Generator, shape: tuple[int, ...]) -> Draws:
    scatter = rng.standard_normal(shape)
    return np.where(rng.random(shape) < 0.2, 0.001 * np.exp(0.5 * scatter), 0.16 * np.exp(0.01 * scatter))


_SCORES = {"lognormal": _lognormal, "a bowl": _bowl, "one in five solves": _fifth}


@dataclass(frozen=True)
class _Budget:
    """The expected best of k of n trials, lower is better."""

    draw: Callable[[np.random.Generator, tuple[int, ...]], Draws]
    n: int
    ks: tuple[int, ...]

    def __call__(self, repetitions: int, rng: np.random.Generator) -> list[Measured]:
        truths = [float(self.draw(np.random.default_rng(7), (200_000, k)).min(axis=1).mean()) for k in self.ks]
        hits: dict[int, list[bool | None]] = {k: [] for k in self.ks}
        for _ in range(repetitions):
            found = budget(self.draw(rng, (self.n,)), False)
            assert found is not None
            for k, truth in zip(self.ks, truths, strict=True):
                hits[k].append(covers(found.at(k), truth))
        return [share_of(hits[k]) for k in self.ks]


@dataclass(frozen=True)
class _Shares:
    """Shares of the variance of functions whose shares are known, as far as they are printed."""

    n: int

    def __call__(self, repetitions: int, rng: np.random.Generator) -> list[Measured]:
        if find_spec("optuna") is None:
            return [Measured(math.nan, 0, repetitions)] * 2
        hits: tuple[list[bool | None], list[bool | None]] = ([], [])
        for search in range(repetitions):
            truths, seen = known_shares(self.n, _OPTIONS, rng, NOISE[search % 2], EVENNESS[search // 2 % 2])
            for axis, (truth, value) in enumerate(zip(truths, seen, strict=True)):
                rest = axis == _OPTIONS
                found = with_error(Interval(value, None, None), self.n, _OPTIONS, rest)
                hits[rest].append(covers(found, truth) if determined(found) else None)
        return [share_of(part) for part in hits]
