"""How fast a curve over the lag falls: measured, and as an exponential. Plain numbers: analysis uses it without torch."""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

GOOD_FIT = 0.9  # R2 from which on an exponential stands for a curve


class Fit(NamedTuple):
    """The exponential that fits a curve best, by least squares on its logarithm.

    Attributes:
        slope: of the natural logarithm, per step; nan with less than two positive values.
        r2: share of the variance of the logarithm that the line explains; nan with less than three positive values.
    """

    slope: float
    r2: float

    @property
    def half_life(self) -> float:
        """Steps in which this exponential halves; infinite if it does not decay, nan if there is none."""
        return -math.log(2) / self.slope if self.slope < 0 else math.nan if math.isnan(self.slope) else math.inf


def half_life(lags: ArrayLike, values: ArrayLike) -> float:
    """Steps until a curve first is at half of its first positive value; infinite if it never is, nan with less than two values.

    Between two lags the logarithm is interpolated, so that an exponential has its own half-life; a value of 0 is interpolated
    itself. A curve that rises again later has halved all the same.

    Args:
        lags: (K,), rising.
        values: (K,), such as the norm of a gradient; what is nan is left out. A zero in front (a part of the state that the loss
            does not read at lag 0) is not a first value.
    """
    lag, height = np.asarray(lags, float), np.asarray(values, float)
    known = np.isfinite(height)
    lag, height = lag[known], height[known]
    lag, height = (array[np.argmax(height > 0) :] for array in (lag, height))
    if len(height) < 2 or height[0] <= 0:
        return math.nan
    below = np.flatnonzero(height <= height[0] / 2)
    if not len(below):
        return math.inf
    at = int(below[0])
    before, after, half = height[at - 1], height[at], height[0] / 2
    share = math.log(before / half) / math.log(before / after) if after > 0 else (before - half) / before
    return float(lag[at - 1] + share * (lag[at] - lag[at - 1]) - lag[0])


def fit(values: ArrayLike) -> Fit:
    """The exponential that fits a curve at the lags 0, 1, 2, ... best.

    Args:
        values: (T,); zeros (a part that is not read, an underflow) and nan are left out.
    """
    every = np.asarray(values, float)
    used = np.flatnonzero((every > 0) & np.isfinite(every))
    if len(used) < 2:
        return Fit(math.nan, math.nan)
    lag, height = used - used.mean(), np.log(every[used])
    height = height - height.mean()
    slope = float(lag @ height / (lag @ lag))
    if len(used) < 3:
        return Fit(slope, math.nan)
    total, left = float(height @ height), float(np.square(height - slope * lag).sum())
    return Fit(slope, 1 - left / total if total > 1e-12 * len(used) else 1.0)  # a level curve is a line, to rounding
