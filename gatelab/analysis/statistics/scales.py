"""On which scale scores are averaged and compared: as they are, as logarithms, or shares as log odds."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from gatelab.analysis.statistics.intervals import Interval, failures_last, mean_interval
from gatelab.runs import Scale

_LEAST = float(np.finfo(np.float32).tiny)  # a loss of exactly 0 has underflowed in float32


@dataclass(frozen=True)
class Axis:
    """A scale with what a transformation needs.

    linear: x. log: ln x, x at least 1.2e-38, where float32 ends. logit: ln((x N + 1/2) / (N - x N + 1/2)), the empirical log odds
    of x N hits in N items, which are finite for shares of 0 and 1.

    Attributes:
        scale: as the task declares it.
        items: N, for "logit".

    Raises:
        ValueError: a logit scale without a number of items.

    References:
        D. R. Cox, E. J. Snell, "Analysis of binary data", 1989, section 2.1 (the empirical log odds).
    """

    scale: Scale = "linear"
    items: int | None = None

    def __post_init__(self) -> None:
        if self.scale == "logit" and not self.items:
            raise ValueError("The log odds of a share need its number of items.")

    @property
    def compares(self) -> str:
        """What a difference on this scale is, in the unit of the score: "difference", "ratio" or "odds ratio"."""
        return {"linear": "difference", "log": "ratio", "logit": "odds ratio"}[self.scale]

    def forward(self, scores: ArrayLike) -> NDArray[np.float64]:
        """Scores on the scale; nan and infinity stay what they are."""
        x = np.asarray(scores, dtype=float)
        if self.scale == "linear":
            return x.copy()
        if self.scale == "log":
            return np.log(np.where(np.isfinite(x), np.maximum(x, _LEAST), x), where=x != -math.inf, out=np.full_like(x, -math.inf))
        assert self.items is not None
        hits = np.where(np.isfinite(x), np.clip(x, 0, 1), 0.5) * self.items
        return np.where(np.isfinite(x), np.log((hits + 0.5) / (self.items - hits + 0.5)), x)

    def back(self, value: float) -> float:
        """A place on the scale as a score."""
        if self.scale == "linear" or not math.isfinite(value):
            return value
        if self.scale == "log":
            return _exp(value)
        assert self.items is not None
        return min(max((float(special.expit(value)) * (self.items + 1) - 0.5) / self.items, 0.0), 1.0)

    def back_difference(self, interval: Interval) -> Interval:
        """A difference on the scale as `compares` says: of logarithms it is a ratio of scores, of log odds one of odds."""
        if self.scale == "linear":
            return interval
        return Interval(_exp(interval.value), *(None if end is None else _exp(end) for end in interval[1:]))

    def mean(self, scores: ArrayLike) -> Interval:
        """The mean on the scale and its interval (`mean_interval`), as scores: of logarithms the geometric mean."""
        value, low, high = mean_interval(self.forward(scores))
        return Interval(self.back(value), *(None if end is None else self.back(end) for end in (low, high)))

    def ranked(self, scores: ArrayLike, higher_is_better: bool) -> NDArray[np.float64]:
        """Scores on the scale with failures as the worst value there can be, for what only orders them."""
        return failures_last(self.forward(failures_last(scores, higher_is_better)), higher_is_better)


LINEAR = Axis()


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf
