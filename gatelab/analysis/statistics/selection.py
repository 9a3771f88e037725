"""The best of a search: what its best trials score, and how much better those of another search are."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gatelab.analysis.statistics.intervals import LEVEL, Interval

RESAMPLES = 4000
FEWEST = 20  # trials, below which a best tenth is too few of them: of 10 trials false claims held in 4% of the cases


class Trials(NamedTuple):
    """The trials of one search.

    Attributes:
        validation: (N,), by which trials are chosen, lower is better; infinite for one that diverged.
        test: (N,), what the chosen ones are judged by.
        draws: (N,), what was drawn, equal where another search tried the same; all different.
    """

    validation: NDArray[np.float64]
    test: NDArray[np.float64]
    draws: tuple[object, ...]


class Selected:
    """The mean test value of the best share of a search's trials, or how far that of one search lies above that of another.

    Joint bootstrap: draws are sampled with replacement, the same ones for both searches where these tried the same draws, and in
    every sample the best trials are chosen again. So what both owe to a lucky draw cancels, and the choice is part of the
    uncertainty. The samples are moved to the estimate v, since the best of a resample is worse than the best, and spread by the
    factor by which a bootstrap of k values is too narrow, k the trials chosen: x' = v + sqrt(k / (k - 1)) (x - median x).
    p_above(t) = (1 + number of x' at or below t) / (1 + samples), where a sample whose best trials include one that diverged speaks
    against either side. Simulated errors: `gatelab calibrate`.

    Args:
        first: the trials of the search.
        share: of the trials, the best by validation; at least two.
        second: the trials of the search that it is compared with; None: the first alone, as against what half of such searches
            reach. No resample holds anything better than the best trial, so that nothing says how much better another search might
            be. It then gives no interval, and no p-value on that side (claims that were false held in 4 to 20% of the cases).
        higher_is_better: the direction of the test values.
        seed: of the samples.

    References:
        T. C. Hesterberg, "What teachers should know about the bootstrap", The American Statistician 69, 2015 (the factor).
        B. Efron, R. J. Tibshirani, "An introduction to the bootstrap", 1993, chapter 13 (percentile intervals). J. Dodge, S.
        Gururangan, D. Card, R. Schwartz, N. A. Smith, "Show your work", EMNLP 2019 (that the search is part of a result).
    """

    def __init__(
        self, first: Trials, share: float, second: Trials | None = None, higher_is_better: bool = False, seed: int = 0
    ) -> None:
        sides = [first] if second is None else _matched(first, second)
        together = second is not None and sides[0].draws == sides[1].draws
        every = [np.arange(len(side.test))[None, :] for side in sides]
        rng = np.random.default_rng(seed)
        sampled = [rng.integers(len(side.test), size=(RESAMPLES, len(side.test))) for side in (sides[:1] if together else sides)]
        self.value = float(_combined(sides, every, share)[0])
        self.small = min(len(side.test) for side in sides) < FEWEST
        self.least = 1.0 if self.small else 1 / (1 + RESAMPLES)
        found = np.sort(_combined(sides, sampled * 2 if together else sampled, share))
        kept = min(chosen(len(side.test), share) for side in sides)
        self._found = self.value + math.sqrt(kept / (kept - 1)) * (found - float(np.nanmedian(found)))
        self._alone = second is None
        self._higher_is_better = higher_is_better

    @staticmethod
    def estimate(trials: Trials, share: float) -> float:
        """The mean test value of the best share of one search."""
        return float(_combined([trials], [np.arange(len(trials.test))[None, :]], share)[0])

    def p_above(self, threshold: float) -> float:
        return 1.0 if self._alone and not self._higher_is_better else self._p(int((~(self._found > threshold)).sum()))

    def p_below(self, threshold: float) -> float:
        return 1.0 if self._alone and self._higher_is_better else self._p(int((~(self._found < threshold)).sum()))

    def interval(self, level: float = LEVEL) -> Interval:
        if self.small or self._alone or np.isnan(self._found).any():
            return Interval(self.value, None, None)
        low, high = np.quantile(self._found, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")
        return Interval(self.value, float(low), float(high))

    def _p(self, beyond: int) -> float:
        return 1.0 if self.small else (1 + beyond) / (1 + self._found.size)


def chosen(trials: int, share: float) -> int:
    """How many of a number of trials are chosen: at least two."""
    return max(2, round(share * trials))


def _combined(sides: list[Trials], sampled: list[NDArray[np.intp]], share: float) -> NDArray[np.float64]:
    """The value of every sample (R,): the mean of the chosen of the first side, less that of the second."""
    means = []
    for side, rows in zip(sides, sampled, strict=True):
        best_first = np.argsort(side.validation, kind="stable")
        place = np.empty(best_first.size, dtype=np.int32)
        place[best_first] = np.arange(best_first.size)
        kept = best_first[np.sort(place[rows], axis=1)[:, : chosen(rows.shape[1], share)]]
        means.append(side.test[kept].mean(axis=1))
    return means[0] if len(means) == 1 else means[0] - means[1]


def _matched(first: Trials, second: Trials) -> list[Trials]:
    """Both sides in one order of draws where they tried the same ones, else as they are."""
    if len(set(first.draws)) < len(first.draws) or set(first.draws) != set(second.draws):
        return [first, second]
    place = {draw: index for index, draw in enumerate(second.draws)}
    order = np.array([place[draw] for draw in first.draws])
    return [first, Trials(second.validation[order], second.test[order], first.draws)]
