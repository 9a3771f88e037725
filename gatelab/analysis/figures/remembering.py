"""What carries the memory, one number a seed: the longest units, what is left over a lag, how far gradients reach back."""

import re
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from gatelab.analysis.figures._gates import natural
from gatelab.analysis.reading.series import Recorded
from gatelab.diagnostics import decay, keys

LONGEST = 1.0  # the quantile of the units' timescales that is the longest unit
LONG = 0.9  # from which on the slowest tenth of the units is


class Fitted(NamedTuple):
    """The exponential that describes the gradient of every seed.

    Attributes:
        half_life: median over the seeds; may be infinite.
        r2: the smallest of the seeds.
    """

    half_life: float
    r2: float


def layers_of(every: Iterable[Recorded]) -> list[str]:
    """The layers that have timescales."""
    found = {key.split("/")[1] for recorded in every for key in recorded.arrays if re.fullmatch(r"timescale/[^/]+/units", key)}
    return sorted(found, key=natural)


def timescales(recorded: Recorded, layer: str, share: float) -> list[float]:
    """A quantile of the timescales of the layer's units, the value of a unit, one for each seed."""
    arrays = recorded.arrays.get(keys.timescale(layer, "units"), [])
    return [float(np.quantile(values, share, method="nearest")) for values in arrays if values.size and not np.isnan(values).any()]


def retained(recorded: Recorded, layer: str, lag: float) -> list[float]:
    """The share of the state that is left over a lag, mean over the units, one for each seed; none where it was not measured."""
    pairs = zip(*(recorded.arrays.get(keys.retention(layer, what), []) for what in ("lags", "mean")), strict=False)
    return [float(np.interp(lag, lags, left)) for lags, left in pairs if lags.size == left.size and lags.size and lags[-1] >= lag]


def flow_layers(every: Iterable[Recorded], end: bool) -> list[str]:
    """The layers that have gradients against the lag; end: of a loss at the last step."""
    found = {key.split("/")[1] for recorded in every for key in recorded.arrays if is_flow(key, end)}
    return sorted(found, key=natural)


def is_flow(key: str, end: bool) -> bool:
    return bool(re.fullmatch(rf"{'flow_end' if end else 'flow'}/[^/]+/[^/]+/norm", key))


def half_lives(recorded: Recorded, layer: str, part: str = "state", end: bool = True) -> list[float]:
    """Steps until the gradient first is at half of its start, one for each seed; infinite where it never is.

    They are measured on the recorded curve, so that runs of versions that recorded only a fitted half-life have them as well.
    """
    curves = zip(*(recorded.arrays.get(keys.flow(layer, part, what, end), []) for what in ("lags", "norm")), strict=False)
    found = [decay.half_life(lags, norm) for lags, norm in curves if lags.size == norm.size]
    return [value for value in found if not np.isnan(value)]


def fitted(recorded: Recorded, layer: str, part: str = "state", end: bool = True) -> Fitted | None:
    """The fitted exponential; None where it does not describe the gradient of some seed."""
    slopes, r2 = (recorded.finals.get(keys.flow(layer, part, what, end), []) for what in ("slope", "r2"))
    if not r2 or len(slopes) != len(r2) or not min(r2) >= decay.GOOD_FIT:
        return None
    return Fitted(float(np.median([decay.Fit(*pair).half_life for pair in zip(slopes, r2, strict=True)])), min(r2))


def longest_lag(every: Iterable[Recorded], layer: str) -> float | None:
    """Steps between the last one and the first that has a gradient."""
    lags = [recorded.mean_array(keys.flow(layer, "state", "lags", end=True)) for recorded in every]
    return max((float(values[-1]) for values in lags if values is not None and values.size), default=None)


def measured_before(recorded: Recorded) -> bool:
    """Whether an earlier version recorded its timescales, as 1 / (1 - mean f): it did not record how well an exponential fits."""
    slopes = {key for key in recorded.finals if re.fullmatch(r"flow(_end)?/.*/slope", key)}
    return any(key.removesuffix("slope") + "r2" not in recorded.finals for key in slopes)


def amount(value: float) -> str:
    """A number of steps, the same in figures and sentences."""
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def steps(value: float) -> str:
    """An interpolated lag; below one step its digits say nothing."""
    return "under 1" if value < 1 else amount(value)


def share_left(value: float) -> str:
    return "under 1%" if value < 0.01 else f"{value:.0%}"
