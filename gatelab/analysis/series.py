"""What was recorded over training, over the seeds of a configuration: pure functions on arrays, and their reading."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelab.runs import Run, Skipped

_PLOTTED = re.compile(r"val/|grad/|gate/.*/(?:mean|saturated_left|saturated_right)$")


@dataclass(frozen=True)
class Curve:
    """A quantity over training.

    Attributes:
        steps: (S,), optimiser steps, rising.
        n: (S,), how many seeds stand behind each point.
        mean, low, high: (S,), mean, smallest and largest value of the seeds.
    """

    steps: NDArray[np.int64]
    n: NDArray[np.int64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class Records:
    """All that is plotted of one configuration.

    Attributes:
        curves: by metric key.
        histograms: by gate, "gate/0/forget": (bins,), density of the activations in equal bins over [0, 1], mean over the seeds.
        runs: how many runs were read.
    """

    curves: dict[str, Curve] = field(default_factory=dict)
    histograms: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    runs: int = 0


def over_seeds(series: Sequence[tuple[Sequence[int], Sequence[float]]]) -> Curve:
    """Mean, smallest and largest value over the seeds at every step.

    A step counts if every seed that has come so far recorded it. So all points up to the shortest run are means over all seeds,
    and the points behind it are means over those that went on.

    Args:
        series: for each seed its steps, rising, and the values at them.

    Returns:
        The curve. A nan in one seed is a nan in the mean; low and high are those of the other seeds.
    """
    series = [(steps, values) for steps, values in series if len(steps)]
    if not series:
        nothing = np.empty(0)
        return Curve(np.empty(0, np.int64), np.empty(0, np.int64), nothing, nothing, nothing)
    if all(steps == series[0][0] for steps, _ in series):
        table = np.array([values for _, values in series], dtype=float)
        n = np.full(table.shape[1], len(series))
        return _curve(np.array(series[0][0]), n, table, table)
    steps = np.unique(np.concatenate([steps for steps, _ in series]))
    table, recorded = np.zeros((len(series), steps.size)), np.zeros((len(series), steps.size), bool)
    for row, (own, values) in enumerate(series):
        at = np.searchsorted(steps, own)
        table[row, at], recorded[row, at] = values, True
    under_way = np.array([own[-1] for own, _ in series])[:, None] >= steps
    kept = (recorded == under_way).all(axis=0)
    steps, table, recorded = steps[kept], table[:, kept], recorded[:, kept]
    return _curve(steps, recorded.sum(axis=0), table, np.where(recorded, table, np.nan))


def _curve(steps: NDArray[np.int64], n: NDArray[np.int64], table: NDArray[np.float64], gaps: NDArray[np.float64]) -> Curve:
    """A curve from tables (seeds, S) that hold 0 and nan where a seed recorded nothing."""
    with np.errstate(invalid="ignore"):  # inf - inf
        return Curve(steps, n, table.sum(axis=0) / n, np.fmin.reduce(gaps), np.fmax.reduce(gaps))


def thinned(curve: Curve, points: int) -> Curve:
    """The curve with so many points at most, each for a block of consecutive ones.

    A point stands at the last step of its block, for the mean of the means, the smallest low and the largest high: a spike
    stays visible as the edge of the band.
    """
    size = curve.steps.size
    if size <= points:
        return curve
    starts = np.arange(points) * size // points
    ends = np.append(starts[1:], size)
    with np.errstate(invalid="ignore"):
        mean = np.add.reduceat(curve.mean, starts) / (ends - starts)
    return Curve(
        curve.steps[ends - 1],
        np.minimum.reduceat(curve.n, starts),
        mean,
        np.fmin.reduceat(curve.low, starts),
        np.fmax.reduceat(curve.high, starts),
    )


def density(counts: ArrayLike) -> NDArray[np.float64]:
    """A histogram over [0, 1] as a density.

    Args:
        counts: (bins,), in equal bins.

    Returns:
        (bins,), with mean 1; zero if nothing was counted.

    Raises:
        ValueError: these are not counts.
    """
    values = np.asarray(counts, dtype=float)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all() or values.min() < 0:
        raise ValueError("a histogram does not hold counts")
    return values / values.mean() if values.any() else values


def read_records(runs: Iterable[Run], points: int) -> tuple[Records, list[Skipped]]:
    """Reads what the runs of one configuration recorded; a damaged run is left out and named.

    Args:
        runs: runs of the same configuration.
        points: at most so many a curve.
    """
    curves: dict[str, list[tuple[list[int], list[float]]]] = defaultdict(list)
    densities: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    skipped, read = [], 0
    for run in runs:
        try:
            metrics = run.metrics("val", "gate", "grad")
            last = {key: density(counts) for key, counts in run.last_histograms().items()}
            if any(key in densities and densities[key][0].shape != values.shape for key, values in last.items()):
                raise ValueError("the histograms of other seeds have another number of bins")
        except (TypeError, ValueError) as error:  # a UserError is a ValueError
            skipped.append(Skipped(run.path, f"its curves are left out: {error}"))
            continue
        read += 1
        for key, series in metrics.items():
            if _PLOTTED.match(key):
                curves[key].append(series)
        for key, values in last.items():
            densities[key].append(values)
    return (
        Records(
            {key: thinned(over_seeds(series), points) for key, series in curves.items()},
            {key: np.mean(values, axis=0) for key, values in densities.items()},
            read,
        ),
        skipped,
    )
