"""What the gates do: over training, over the sequence, unit by unit."""

import re
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from gatelab.analysis.figures._model import Axis, DrawnVariant, Figure, Panel, Problem, Series
from gatelab.analysis.reading.saturation import limits_in_words, limits_of
from gatelab.diagnostics import keys

_GATE = re.compile(r"gate/([^/]+)/([^/]+)(?:/(?:mean|saturated_left|saturated_right|units/mean|positions/mean|at_events))?")
_UNITS = 64  # rows of a heat map, evenly chosen among more
_SHARE = (0.0, 1.0)


def natural(text: str) -> list[str]:
    """Sorts 64 before 128."""
    return [part.zfill(12) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def gates_of(variants: Iterable[DrawnVariant]) -> list[tuple[str, str]]:
    """Every (layer, gate) that has been recorded, in the order of the layers."""
    found = {
        (match[1], match[2])
        for variant in variants
        for recorded in (variant.recorded.curves, variant.recorded.histograms, variant.recorded.arrays)
        for key in recorded
        if (match := _GATE.fullmatch(key))
    }
    return sorted(found, key=lambda place: (natural(place[0]), place[1]))


def place(problem: Problem, layer: str, what: str) -> str:
    """ "forget", and in which layer if there are several."""
    several = len({name for name, _ in gates_of(problem.variants)}) > 1
    return f"{what}, layer {layer}" if several else what


def _range(problem: Problem, layer: str, gate: str) -> tuple[float, float] | None:
    """[0, 1], or None for a gate that is not confined to it: there is no histogram of it."""
    return _SHARE if any(keys.gate(layer, gate) in variant.recorded.histograms for variant in problem.variants) else None


def gate_units(problem: Problem) -> Figure | None:
    """Units of each gate over training, as a heat map."""
    panels = []
    places = gates_of([problem.variants[number] for number in problem.one_per_cell])
    for number in problem.one_per_cell:
        variant = problem.variants[number]
        for column, (layer, gate) in enumerate(places):
            picture = variant.recorded.pictures.get(keys.gate_units(layer, gate, "mean"))
            if picture is not None:
                steps, values = picture
                z = _sorted_units(values.T)
                series = [Series(number, steps, np.arange(1, len(z) + 1))]
                title = f"{variant.name}: {place(problem, layer, gate)}"
                panels.append(Panel(title, Axis("optimiser steps"), Axis("units"), series, z=z, column=column))
    caption = (
        "Mean activation of every unit (a row) over training, of the first seed of the best variant of each cell. Units are "
        "sorted by their "
        "last value: a dark bottom is units whose gate has closed, a bright top units that hold it open."
    )
    return (
        Figure("gate-units", "Gates: unit by unit over training", caption, "heat", panels, columns=len(places)) if panels else None
    )


def gate_positions(problem: Problem) -> Figure | None:
    """Gates over the positions of the sequence, as a heat map."""
    panels = []
    for number in problem.one_per_cell:
        variant = problem.variants[number]
        rows = [
            (place(problem, layer, gate), values)
            for layer, gate in gates_of([variant])
            if (values := variant.shown.mean_array(keys.gate_positions(layer, gate))) is not None
        ]
        rows = [(label, values) for label, values in rows if values.size == rows[0][1].size]
        if rows:
            x = (np.arange(rows[0][1].size) + 0.5) * 100 / rows[0][1].size
            y = Axis("gate", categories=[label for label, _ in rows])
            series = [Series(number, x, np.arange(len(rows)))]
            z = np.array([values for _, values in rows])
            panels.append(Panel(variant.name, Axis("position in the sequence (%)", domain=(0, 100)), y, series, z=z))
    caption = (
        "Mean activation of each gate along the sequence, over units, rows of the batch and seeds, in the last record; of the "
        "best variant of "
        "each cell."
    )
    return Figure("gate-positions", "Gates along the sequence", caption + problem.of_learnt, "heat", panels) if panels else None


def gate_events(problem: Problem) -> Figure | None:
    """Gates where the task has something to keep, against elsewhere."""
    panels = []
    for layer, gate in gates_of(problem.variants):
        series: list[Series] = []
        names = []
        for number in problem.few:
            variant = problem.variants[number]
            there, elsewhere = (_final(variant, keys.gate(layer, gate, what)) for what in ("at_events", "elsewhere"))
            if there is not None and elsewhere is not None:
                ends = [min(there, elsewhere)], [max(there, elsewhere)]
                series.append(Series(number, [there], [len(names)], *ends, note=f"{there:.2f} / {elsewhere:.2f}"))
                names.append(variant.name)
        if series:
            title = place(problem, layer, gate)
            panels.append(
                Panel(title, Axis("mean activation", domain=_range(problem, layer, gate)), Axis("", categories=names), series)
            )
    caption = (
        "Mean activation at the task's events (the mark: marked items, symbols to keep) and elsewhere (the bar's other end), "
        "in the last record; "
        "beside them both as numbers. A long bar is a gate that tells the two apart."
    )
    return (
        Figure("gate-events", "Gates at the task's events", caption + problem.of_learnt + problem.of_few, "ranges", panels)
        if panels
        else None
    )


def saturation(problem: Problem) -> Figure | None:
    """Karpathy's scatter: how often each unit's gate is wide open and how often shut."""
    panels = []
    below, above = limits_in_words(limits_of(variant.config) for variant in problem.variants)
    for layer, gate in gates_of(problem.variants):
        series = []
        for number in problem.few:
            variant = problem.variants[number]
            right, left = (
                variant.shown.arrays.get(keys.gate_units(layer, gate, f"saturated_{side}"), []) for side in ("right", "left")
            )
            if right and left and right[0].size == left[0].size:
                chosen = _evenly(right[0].size)
                series.append(Series(number, right[0][chosen], left[0][chosen]))
        if series:
            x, y = Axis(f"share of steps above {above}", domain=_SHARE), Axis(f"share of steps below {below}", domain=_SHARE)
            panels.append(Panel(place(problem, layer, gate), x, y, series, diagonal=True))
    caption = (
        "Every mark is a unit of the first seed: how often its gate is open (right) and how often shut (up), after Karpathy, "
        "Johnson & Fei-Fei "
        "(2015). At the origin a gate is never saturated, on the diagonal it is a switch."
    )
    return (
        Figure("saturation", "Saturation of the gates", caption + problem.of_learnt + problem.of_few, "dots", panels)
        if panels
        else None
    )


def gate_training(problem: Problem) -> Figure | None:
    """Mean and saturation of each gate over training."""
    panels = []
    below, above = limits_in_words(limits_of(variant.config) for variant in problem.variants)
    statistics = {"mean": "mean", "saturated_left": f"share below {below}", "saturated_right": f"share above {above}"}
    for layer, gate in gates_of(problem.variants):
        for statistic, words in statistics.items():
            key = keys.gate(layer, gate, statistic)
            title = f"{place(problem, layer, gate)}: {words}"
            axis = Axis(words if statistic != "mean" else "mean activation", domain=_range(problem, layer, gate))
            panels.append(curve_panel(problem, key, title, axis))
    panels = [panel for panel in panels if panel.series]
    caption = (
        "Activations of each gate over units, time steps and sequences of a training batch: mean, and shares saturated at "
        "either end. Line: "
        "mean over the seeds; band: from the smallest to the largest seed."
    )
    return Figure("gate-training", "Gates over training", caption, "lines", panels) if panels else None


def gate_density(problem: Problem) -> Figure | None:
    """The distribution of the activations of each gate."""
    panels = []
    for layer, gate in gates_of(problem.variants):
        series = []
        for number, variant in enumerate(problem.variants):
            values = variant.shown.histograms.get(keys.gate(layer, gate))
            if values is not None:
                series.append(Series(number, (np.arange(values.size) + 0.5) / values.size, values))
        if series:
            x, y = Axis("activation", domain=_SHARE), Axis("density")
            panels.append(Panel(place(problem, layer, gate), x, y, series))
    caption = (
        "Distribution of the activations in the last record, over units, time steps and sequences; mean over the seeds. "
        "1 is uniform."
    )
    return (
        Figure("gate-density", "Distribution of the activations", caption + problem.of_learnt, "lines", panels) if panels else None
    )


def curve_panel(problem: Problem, key: str, title: str, y: Axis) -> Panel:
    """A recorded quantity over training."""
    series = []
    for number, variant in enumerate(problem.variants):
        curve = variant.recorded.curves.get(key)
        if curve is not None and curve.steps.size:
            series.append(Series(number, curve.steps, curve.mean, curve.low, curve.high))
    return Panel(title, Axis("optimiser steps"), y, series)


def _final(variant: DrawnVariant, key: str) -> float | None:
    """The mean over the seeds of the last value."""
    values = [value for value in variant.shown.finals.get(key, []) if np.isfinite(value)]
    return float(np.mean(values)) if values else None


def _evenly(size: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, size - 1, min(size, _UNITS)).round().astype(np.int64))


def _sorted_units(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Units (H, S) by their last value, so that the picture shows how many do what; no more of them than can be seen."""
    ordered = values[np.argsort(values[:, -1], kind="stable")]
    return ordered[_evenly(len(ordered))]
