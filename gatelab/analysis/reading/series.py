"""What was recorded over training, over the seeds of a variant: pure functions on arrays, and their reading."""

import dataclasses
import math
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelab.diagnostics import keys
from gatelab.runs import Run, Skipped

_PLOTTED = re.compile(r"val/|grad/|clip/|state/.*/norm$|timescale/|gate/.*/(?:mean|saturated_left|saturated_right)$")
_PICTURE_TIMES = 48  # records of a heat map over training, evenly chosen
_FAMILIES = ("val", "gate", "grad", "clip", "state", "timescale", "flow", "flow_end", "time")


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
class Recorded:
    """All that is plotted of one variant.

    Attributes:
        curves: by metric key.
        seconds: steps against the seconds of training up to them, without validation.
        histograms: by gate, "gate/0/forget": (bins,), density of the activations in equal bins over [0, 1], mean over the seeds.
        finals: by metric key, the last value of each seed.
        arrays: by key, the last array of each seed; of an inspection the Lyapunov exponents and the Jacobian.
        pictures: by key, of the first seed that has any: steps (S,) and arrays (S, K).
        runs: how many runs were read.
    """

    curves: dict[str, Curve] = field(default_factory=dict)
    seconds: Curve | None = None
    histograms: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    finals: dict[str, list[float]] = field(default_factory=dict)
    arrays: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    pictures: dict[str, tuple[list[int], NDArray[np.float64]]] = field(default_factory=dict)
    runs: int = 0

    def mean_array(self, key: str) -> NDArray[np.float64] | None:
        """The mean over the seeds (K,), of those as long as the first; what is nan in one seed is left to the others."""
        found = [values for values in self.arrays.get(key, []) if values.shape == self.arrays[key][0].shape]
        if not found:
            return None
        table = np.array(found)
        known = np.isfinite(table)
        count = known.sum(axis=0)
        total = np.where(known, table, 0).sum(axis=0)
        return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)


def over_seeds(series: Sequence[tuple[Sequence[int], Sequence[float]]]) -> Curve:
    """Mean, smallest and largest value over the seeds at every step.

    A step counts if every seed that has come so far recorded it. So all points up to the shortest run are means over all seeds,
    and the points behind it are means over the runs that continued.

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


def seconds_at(
    steps: Sequence[int], rate_steps: Sequence[int], rates: Sequence[float], seconds_per_step: float | None = None
) -> list[float]:
    """Seconds of training up to each of the steps, from the speeds that were recorded on the way.

    Args:
        steps: rising.
        rate_steps, rates: where a speed was recorded, rising, and the steps per second since the record before.
        seconds_per_step: what a step takes where no speed was recorded.
    """
    knots, past = [0.0], [0.0]
    for step, rate in zip(rate_steps, rates, strict=True):
        if math.isfinite(rate) and rate > 0:
            past.append(past[-1] + (step - knots[-1]) / rate)
            knots.append(float(step))
    last = past[-1] / knots[-1] if len(knots) > 1 else seconds_per_step
    if last is None:
        return [math.nan] * len(steps)
    return [float(np.interp(step, knots, past)) + max(step - knots[-1], 0.0) * last for step in steps]


def read_recorded(runs: Iterable[Run], points: int, pictures: bool = False) -> tuple[Recorded, list[Skipped]]:
    """Reads what the runs of one variant recorded; a damaged run is left out and named.

    Args:
        runs: of one variant.
        points: at most so many a curve.
        pictures: read the arrays of the first seed over all of training, too.
    """
    found = Recorded()
    curves: dict[str, list[tuple[list[int], list[float]]]] = defaultdict(list)
    densities: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    seconds: list[tuple[list[int], list[float]]] = []
    skipped, read = [], 0
    for run in runs:
        try:
            metrics = run.metrics(*_FAMILIES)
            last = {key: density(counts) for key, counts in run.last_histograms().items()}
            if any(key in densities and densities[key][0].shape != values.shape for key, values in last.items()):
                raise ValueError("the histograms of other seeds have another number of bins")
            arrays = {key: np.asarray(values, dtype=float) for key, values in (run.last_arrays() | _dynamics(run)).items()}
            if pictures and not found.pictures:
                found.pictures.update(_pictures(run))
        except (TypeError, ValueError) as error:  # a UserError is a ValueError
            skipped.append(Skipped(run.path, f"its curves are left out: {error}"))
            continue
        read += 1
        for key, series in metrics.items():
            found.finals.setdefault(key, []).append(series[1][-1])
            if _PLOTTED.match(key):
                curves[key].append(series)
        for key, values in last.items():
            densities[key].append(values)
        for key, values in arrays.items():
            found.arrays.setdefault(key, []).append(values)
        validated = sorted({step for key, (steps, _) in metrics.items() if key.startswith("val/") for step in steps})
        seconds.append((validated, seconds_at(validated, *metrics.get(keys.STEPS_PER_SECOND, ([], [])), _seconds_per_step(run))))
    return (
        dataclasses.replace(
            found,
            curves={key: thinned(over_seeds(series), points) for key, series in curves.items()},
            seconds=thinned(over_seeds(seconds), points),
            histograms={key: np.mean(values, axis=0) for key, values in densities.items()},
            runs=read,
        ),
        skipped,
    )


def _pictures(run: Run) -> dict[str, tuple[list[int], NDArray[np.float64]]]:
    """The units' means of every gate over training, at evenly chosen records."""
    pictures = {}
    for key, (steps, rows) in run.arrays("gate").items():
        if key.endswith("/units/mean") and len({len(row) for row in rows}) == 1:
            chosen = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), _PICTURE_TIMES)).round().astype(int))
            pictures[key] = ([steps[number] for number in chosen], np.array([rows[number] for number in chosen]))
    return pictures


def _dynamics(run: Run) -> dict[str, list[float]]:
    """What only `gatelab inspect` computes, of the first checkpoint and split it looked at."""
    for inspection in run.inspections().values():
        found = inspection.get("arrays")
        if isinstance(found, dict):
            return {key: values for key, values in found.items() if key.startswith(("lyapunov/", "jacobian/"))}
    return {}


def _seconds_per_step(run: Run) -> float | None:
    if run.state != "finished":
        return None
    try:
        return float(run.summary()["seconds_per_step"])
    except (KeyError, TypeError, ValueError):
        return None
