"""How long the state is kept, and how far gradients reach back."""

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from gatelab.analysis.figures._gates import curve_panel, natural, place
from gatelab.analysis.figures._model import Axis, DrawnVariant, Figure, Panel, Problem, Series, spans
from gatelab.analysis.figures.remembering import (
    LONG,
    LONGEST,
    amount,
    fitted,
    flow_layers,
    half_lives,
    is_flow,
    layers_of,
    longest_lag,
    measured_before,
    retained,
    share_left,
    steps,
)
from gatelab.analysis.figures.remembering import timescales as units
from gatelab.analysis.reading.series import Recorded
from gatelab.diagnostics import keys

_SPECTRUM = 64  # points of a spectrum


def memory(problem: Problem) -> Figure | None:
    """Longest units, what is left over the task's lag, and half-life of the gradient, the longest first."""
    every = [variant.shown for variant in problem.variants]
    made = [function(problem, layer) for layer in layers_of(every) for function in (_longest, _left)]
    made += [_reach(problem, layer) for layer in flow_layers(every, end=True)]
    panels = [panel for panel in made if panel is not None]
    caption = (
        "First the timescale -1/E ln f of the units, f the gate that keeps the state, 1/e of which is left after it: mark at the "
        "longest unit, bar from there to where the slowest tenth of the units begins, small marks for single seeds; medians over "
        "the seeds. Then, where the task says over how many steps it asks to keep something, the share of the state that is left "
        "over them, mean over the units. Then the lag at which the gradient of a loss at the last step first is at half of its "
        "start, median of the seeds, bar from the smallest to the largest. Last record of training."
    )
    older = ""
    if any(map(measured_before, every)):
        older = " Runs of an earlier version recorded timescales as 1/(1 - mean f), which is longer."
    return (
        Figure("memory", "Memory", caption + older + problem.of_few + problem.of_learnt, "ranges", panels, columns=2)
        if panels
        else None
    )


def _longest(problem: Problem, layer: str) -> Panel | None:
    """Timescales of the units: the longest, and from where on the slowest tenth is."""
    found, endless = [], []
    for number in problem.few:
        variant = problem.variants[number]
        seeds, low = (units(variant.shown, layer, share) for share in (LONGEST, LONG))
        finite = [value for value in seeds if np.isfinite(value)]
        if len(finite) * 2 > len(seeds):  # the median is finite
            middle = float(np.median(seeds))
            gate = f", {variant.row.about.gate} gate" if variant.row.about.gate else ""
            found.append(_Range(middle, float(np.median(low)), middle, finite, number, f"{amount(middle)}{gate}"))
        elif seeds:
            endless.append(number)
    title = place(problem, layer, "How long the longest unit keeps its state")
    return _ordered(problem, found, "timescale (steps)", title, endless, "keeps all") if found or endless else None


def _left(problem: Problem, layer: str) -> Panel | None:
    """The share of the state that is left over the lag of the task."""
    lag = next((variant.row.about.lag for variant in problem.variants if variant.row.about.lag is not None), None)
    if lag is None:
        return None
    found = []
    for number in problem.few:
        seeds = retained(problem.variants[number].shown, layer, lag)
        if seeds:
            middle = float(np.median(seeds))
            found.append(_Range(middle, min(seeds), max(seeds), seeds, number, share_left(middle)))
    title = place(problem, layer, f"What is left over the task's lag of {lag:.3g} steps")
    return _ordered(problem, found, "share of the state", title, log=False) if found else None


def _reach(problem: Problem, layer: str) -> Panel | None:
    """Half-lives of the gradient of a loss at the last step."""
    reach = longest_lag([variant.shown for variant in problem.variants], layer)
    found, endless = [], []
    for number in problem.few:
        seeds = half_lives(problem.variants[number].shown, layer)
        finite = [value for value in seeds if np.isfinite(value)]
        if len(finite) * 2 > len(seeds):  # the median is finite
            middle = float(np.median(seeds))
            found.append(_Range(middle, min(finite), max(finite), finite, number, steps(middle)))
        elif seeds:
            endless.append(number)
    several = len(layers_of([variant.shown for variant in problem.variants])) > 1
    title = "Where the gradient of a loss at the end halves" + (f", layer {layer}" if several else "")
    levels = {} if reach is None else {"longest lag": reach}
    note = "" if reach is None else f"more than {amount(reach)}"
    return _ordered(problem, found, "half-life (steps)", title, endless, note, levels) if found or endless else None


def timescales(problem: Problem) -> Figure | None:
    """The spectrum of timescales, and the longest over training."""
    panels = []
    for layer in layers_of(variant.shown for variant in problem.variants):
        series = []
        for number, variant in enumerate(problem.variants):
            every = np.sort(np.concatenate([np.ravel(a) for a in variant.shown.arrays.get(keys.timescale(layer, "units"), [[]])]))
            every = every[np.isfinite(every)]
            if every.size:
                at = np.unique(np.linspace(0, every.size - 1, min(every.size, _SPECTRUM)).round().astype(int))
                series.append(Series(number, every[at], 1 - at / every.size))
        title = place(problem, layer, "share of units that keep their state longer")
        x, y = Axis("timescale (steps)", log=True), Axis("share of units", domain=(0, 1))
        panels.append(Panel(title, x, y, series))
        axis = Axis("timescale of the longest unit (steps)", log=True)
        panels.append(curve_panel(problem, keys.timescale(layer, "max"), place(problem, layer, "longest unit over training"), axis))
    panels = [panel for panel in panels if panel.series]
    caption = (
        "Spectrum: the share of units whose timescale -1/E ln f is at least as long, units of all seeds in the last record; "
        "beside it the "
        "longest unit over training, band over the seeds."
    )
    return Figure("timescales", "Spectra of timescales", caption + problem.of_learnt, "lines", panels) if panels else None


def retention(problem: Problem) -> Figure | None:
    """The share of a state that is left after each lag."""
    panels = []
    for layer in layers_of(variant.shown for variant in problem.variants):
        series = _against(problem, keys.retention(layer, "lags"), keys.retention(layer, "mean"))
        if series:
            title = place(problem, layer, "share of the state that is left")
            panels.append(Panel(title, Axis("lag (steps)"), Axis("share left", domain=(0, 1)), series))
    caption = (
        "Product of the keeping gate over the lag, mean over units, rows and seeds, in the last record: the part of the "
        "gradient dc(T)/dc(t) "
        "that goes through the state alone."
    )
    return Figure("retention", "Retention", caption + problem.of_learnt, "lines", panels) if panels else None


def gradient_lag(problem: Problem) -> Figure | None:
    """Gradient of the loss against the lag."""
    panels = []
    same = _same_at_the_end(problem.variants)
    for end in (True,) if same else (False, True):
        for layer in flow_layers([variant.shown for variant in problem.variants], end):
            for part in _parts(problem.variants, layer, end):
                series = []
                lags, norm = (keys.flow(layer, part, what, end) for what in ("lags", "norm"))
                for item in _against(problem, lags, norm):
                    variant = problem.variants[item.variant]
                    first = variant.shown.mean_array(keys.flow(layer, "state", "norm", end))
                    scale = first[0] if first is not None and first.size and first[0] > 0 else np.nan
                    y = np.asarray(item.y) / scale
                    note = _half_life(variant.shown, layer, part, end, np.ravel(item.x)[-1])
                    series.append(Series(item.variant, item.x, np.where(y > 0, y, np.nan), note=note))
                series = [item for item in series if np.isfinite(item.y).any()]
                if series:
                    loss = "" if same else ", loss at the end" if end else ", the task's loss"
                    title = place(problem, layer, ("whole state" if part == "state" else part) + loss)
                    panels.append(Panel(title, Axis("lag (steps)"), Axis("relative gradient norm", log=True), series))
    loss = "The task's loss is one at the end. " if same else ""
    caption = loss + (
        "Norm of dL/ds(T - lag), mean over rows and seeds, relative to that of the whole state at the last step, in the last "
        "record; ½ is the "
        "lag at which it first is at half of its start, median of the seeds; behind it the half-life of the exponential that fits "
        "best, where it explains 90% of the variance of the logarithm in every seed. A level line is a gradient that reaches back "
        "undiminished."
    )
    return Figure("gradient-lag", "Gradient against lag", caption + problem.of_learnt, "lines", panels) if panels else None


def gradient_norms(problem: Problem) -> Figure | None:
    """Gradient norms over training, and how often they are clipped."""
    panels = [
        curve_panel(problem, keys.gradient(), "global norm before clipping", Axis("gradient norm", log=True)),
        curve_panel(problem, keys.CLIP_RATE, "clipped steps", Axis("share of steps", domain=(0, 1))),
    ]
    panels = [panel for panel in panels if panel.series]
    caption = (
        "Global gradient norm before clipping and the share of steps whose gradient was clipped. Line: mean over the "
        "seeds; band: their range."
    )
    return Figure("gradient-norms", "Gradient norms over training", caption, "lines", panels) if panels else None


def gradient_blocks(problem: Problem) -> Figure | None:
    """Gradient norm of every parameter and of each gate's block of it."""
    found = {key for variant in problem.variants for key in variant.recorded.curves if key.startswith("grad/")} - {keys.gradient()}
    panels = [
        curve_panel(problem, key, f"‖{key.removeprefix('grad/')}‖", Axis("gradient norm", log=True))
        for key in sorted(found, key=natural)
    ]
    caption = (
        "Norms of the gradient of each parameter (W input, R recurrent, b bias) and of the block of it that belongs to a gate."
    )
    return Figure("gradient-blocks", "Gradient norms by parameter and gate", caption, "lines", panels) if panels else None


def state_growth(problem: Problem) -> Figure | None:
    """Norm of the state along the sequence."""
    names = {
        (match[1], match[2])
        for variant in problem.variants
        for key in variant.shown.arrays
        if (match := re.fullmatch(r"state/([^/]+)/([^/]+)/positions/norm", key))
    }
    panels = []
    for layer, part in sorted(names, key=lambda name: (natural(name[0]), name[1])):
        series = []
        for number, variant in enumerate(problem.variants):
            values = variant.shown.mean_array(keys.state(layer, part, "positions/norm"))
            if values is not None and values.size:
                series.append(Series(number, (np.arange(values.size) + 0.5) * 100 / values.size, values))
        y = Axis(f"‖{part}‖", log=spans([item.y for item in series]))
        panels.append(Panel(place(problem, layer, part), Axis("position in the sequence (%)", domain=(0, 100)), y, series))
    caption = (
        "Norm of each part of the state along the sequence, mean over rows and seeds, in the last record. Growth without "
        "end is what a forget gate is for."
    )
    return Figure("state-growth", "Growth of the state", caption + problem.of_learnt, "lines", panels) if panels else None


def dynamics(problem: Problem) -> Figure | None:
    """Lyapunov exponents and singular values of the one-step Jacobian, of runs that `gatelab inspect` has looked at."""
    kinds = (
        (keys.lyapunov, "exponents", "Lyapunov exponents", Axis("exponent (nats per step)")),
        (keys.jacobian, "singular_values", "singular values of one step", Axis("singular value", log=True)),
    )
    panels = []
    for build, what, title, y in kinds:
        layers = {key.split("/")[1] for variant in problem.variants for key in variant.shown.arrays if key.endswith(f"/{what}")}
        for layer in sorted(layers, key=natural):
            series = []
            for number, variant in enumerate(problem.variants):
                values = variant.shown.mean_array(build(layer, what))
                if values is not None and values.size:
                    note = f"largest {values[0]:.3g}"
                    series.append(Series(number, np.arange(1, values.size + 1), values, note=note))
            panels.append(Panel(place(problem, layer, title), Axis("rank"), y, series))
    caption = (
        "From `gatelab inspect`, mean over the seeds it has looked at. Exponents below 0 forget a disturbance of the state, above "
        "0 they amplify it; singular values say what one step does to it in the best and the worst direction."
    )
    return Figure("dynamics", "Dynamics", caption + problem.of_learnt, "lines", panels) if panels else None


def recall(problem: Problem) -> Figure | None:
    """Accuracy of each recalled slot."""
    series, most = [], 0
    for number, variant in enumerate(problem.variants):
        slots = {
            int(match[1]): values
            for key, values in variant.recorded.finals.items()
            if (match := re.fullmatch(r"val/recall/(\d+)", key))
        }
        if slots:
            x = sorted(slots)
            y, low, high = ([float(reduce(slots[slot])) for slot in x] for reduce in (np.mean, np.min, np.max))
            series.append(Series(number, np.array(x) + 1, y, low, high))
            most = max(most, len(x))
    if not series:
        return None
    panel = Panel("", Axis("slot, in the order of presentation"), Axis("share recalled", domain=(0, 1)), series)
    caption = (
        "Share of the symbols recalled by their place in the sequence, in the last validation: mean over the seeds, band "
        "over their range."
    )
    return Figure("recall", "Recall by slot", caption, "lines", [panel])


class _Range(NamedTuple):
    """A row of a panel: a mark at `middle`, a bar from `low` to `high`, small marks at `seeds`, of variant `number`."""

    middle: float
    low: float
    high: float
    seeds: list[float]
    number: int
    note: str


def _ordered(
    problem: Problem,
    found: Sequence[_Range],
    label: str,
    title: str,
    endless: Sequence[int] = (),
    without_end: str = "",
    levels: Mapping[str, float] = MappingProxyType({}),
    log: bool = True,
) -> Panel:
    """Intervals with the longest on top; above them what has no end, and its note. Names say which variant is at chance."""
    found = sorted(found, key=lambda item: -item.middle)
    rows = [*endless, *(item.number for item in found)]
    series = [Series(number, [np.inf], [at], note=without_end) for at, number in enumerate(endless)]
    for at, item in enumerate(found, len(series)):
        series.append(Series(item.number, [item.middle], [at], [item.low], [item.high], item.seeds, item.note))
    x = Axis(label, log=log and all(item.low > 0 for item in found), domain=None if log else (0, 1))
    names = [_named(problem.variants[number]) for number in rows]
    return Panel(title, x, Axis("", categories=names), series, dict(levels))


def _named(variant: DrawnVariant) -> str:
    """Its name, and of how many of its runs it is drawn where that is not all."""
    if variant.is_at_chance or not variant.at_chance:
        return variant.name + (" (at chance)" if variant.is_at_chance else "")
    return f"{variant.name} ({variant.learnt.runs}/{variant.learnt.runs + variant.at_chance})"


def _against(problem: Problem, x_key: str, y_key: str) -> list[Series]:
    """One array against another, of every variant that has both."""
    series = []
    for number, variant in enumerate(problem.variants):
        x, y = variant.shown.mean_array(x_key), variant.shown.mean_array(y_key)
        if x is not None and y is not None and x.size == y.size and x.size:
            series.append(Series(number, x, y))
    return series


def _parts(variants: Iterable[DrawnVariant], layer: str, end: bool) -> list[str]:
    """The parts of the state, the whole of it first."""
    found = {
        key.split("/")[2]
        for variant in variants
        for key in variant.shown.arrays
        if is_flow(key, end) and key.split("/")[1] == layer
    }
    return sorted(found, key=lambda part: (part != "state", part))


def _half_life(recorded: Recorded, layer: str, part: str, end: bool, reach: float) -> str:
    """The median of the seeds, and that of a fitted exponential where it describes them; beyond the longest lag only that fact."""
    seeds = half_lives(recorded, layer, part, end)
    if not seeds:
        return ""
    middle, found = float(np.median(seeds)), fitted(recorded, layer, part, end)
    measured = f"½: {steps(middle)} steps" if np.isfinite(middle) else f"½: more than {amount(reach)} steps"
    if found is None:
        return measured
    return f"{measured} (fit {found.half_life:.3g}, R² {found.r2:.2f})" if np.isfinite(found.half_life) else measured


def _same_at_the_end(variants: Iterable[DrawnVariant]) -> bool:
    """Whether the task's own loss is one at the end, so that both gradients are the same."""
    pairs = [
        (values, variant.shown.arrays.get(key.replace("flow/", "flow_end/", 1), []))
        for variant in variants
        for key, values in variant.shown.arrays.items()
        if is_flow(key, end=False)
    ]
    return all(len(a) == len(b) and all(map(np.array_equal, a, b)) for a, b in pairs)
