"""How long the state is kept, and how far gradients reach back."""

import re
from collections.abc import Iterable

import numpy as np

from gatelab.analysis.figures._gates import curve_panel, gates_of, natural, place
from gatelab.analysis.figures._model import Axis, DrawnVariant, Figure, Panel, Problem, Series, spans
from gatelab.diagnostics import keys

_SPECTRUM = 64  # points of a spectrum


def layers_of(variants: Iterable[DrawnVariant]) -> list[str]:
    """The layers that have timescales."""
    found = {
        key.split("/")[1] for variant in variants for key in variant.recorded.arrays if re.fullmatch(r"timescale/[^/]+/units", key)
    }
    return sorted(found, key=natural)


def timescale_seeds(variant: DrawnVariant, layer: str, share: float = 0.5) -> list[float]:
    """A quantile of the timescales of the layer's units, one value a seed."""
    arrays = variant.recorded.arrays.get(keys.timescale(layer, "units"), [])
    return [float(np.quantile(values, share)) for values in arrays if values.size and not np.isnan(values).any()]


def memory_gate(variant: DrawnVariant, layer: str) -> str | None:
    """The gate that the timescales 1 / (1 - mean) were read off."""
    scales = variant.recorded.arrays.get(keys.timescale(layer, "units"), [])
    for own, gate in gates_of([variant]):
        means = variant.recorded.arrays.get(keys.gate_units(own, gate, "mean"), [])
        if own == layer and scales and means and means[0].shape == scales[0].shape:
            kept = means[0] < 0.99  # behind it the four digits of a mean say too little about 1 - mean
            if kept.any() and np.allclose(1 / (1 - means[0][kept]), scales[0][kept], rtol=0.05):
                return gate
    return None


def memory(problem: Problem) -> Figure | None:
    """Timescales of the units and half-life of the gradient, the longest first."""
    panels = []
    several = len(layers_of(problem.variants)) > 1
    for layer in layers_of(problem.variants):
        found = []
        for number in problem.few:
            variant = problem.variants[number]
            seeds = timescale_seeds(variant, layer)
            if seeds:
                low, high = (float(np.mean(timescale_seeds(variant, layer, share))) for share in (0.1, 0.9))
                middle, gate = float(np.mean(seeds)), memory_gate(variant, layer)
                found.append((middle, low, high, seeds, number, f"{middle:.3g}" + (f", {gate} gate" if gate else "")))
        if found:
            of = f", layer {layer}" if several else ""
            panels.append(_ordered(problem, found, "timescale of the units (steps)", f"How long units keep their state{of}"))
    for layer in flow_layers(problem.variants, end=True):
        found, endless, reach = [], [], longest_lag(problem.variants, layer)
        for number in problem.few:
            variant = problem.variants[number]
            seeds = variant.recorded.finals.get(keys.flow(layer, "state", "half_life", end=True), [])
            seeds = [value for value in seeds if not np.isnan(value)]
            finite = [value for value in seeds if np.isfinite(value)]
            if len(finite) * 2 > len(seeds):  # the median is finite
                middle = float(np.median(seeds))
                note = f"> {reach:.0f}" if reach is not None and middle > reach else f"{middle:.3g}"
                found.append((middle, min(finite), max(finite), finite, number, note))
            elif seeds:
                endless.append(number)
        of = f", layer {layer}" if several else ""
        title, label = f"How far the loss at the end reaches back{of}", "half-life of its gradient (steps)"
        if found or endless:
            panels.append(_ordered(problem, found, label, title, endless, reach))
    caption = (
        "First effective timescale 1/(1 - f) of the units, f the mean of the gate that keeps the state; mark at the median "
        "unit, bar from the "
        "10% to the 90% quantile, small marks for single seeds. Then the lag in which the gradient of a loss at the last step "
        "halves, median "
        "of the seeds, bar from the smallest to the largest; where that is longer than the sequence it hardly decays. Last "
        "record of training."
    )
    return Figure("memory", "Memory", caption + problem.of_few, "ranges", panels, columns=2) if panels else None


def timescales(problem: Problem) -> Figure | None:
    """The spectrum of timescales, and their median over training."""
    panels = []
    for layer in layers_of(problem.variants):
        series = []
        for number, variant in enumerate(problem.variants):
            every = np.sort(
                np.concatenate([np.ravel(a) for a in variant.recorded.arrays.get(keys.timescale(layer, "units"), [[]])])
            )
            every = every[np.isfinite(every)]
            if every.size:
                at = np.unique(np.linspace(0, every.size - 1, min(every.size, _SPECTRUM)).round().astype(int))
                series.append(Series(number, every[at], 1 - at / every.size))
        title = place(problem, layer, "share of units that keep their state longer")
        x, y = Axis("timescale (steps)", log=True), Axis("share of units", domain=(0, 1))
        panels.append(Panel(title, x, y, series))
        axis = Axis("median timescale (steps)", log=True)
        panels.append(curve_panel(problem, keys.timescale(layer, "q50"), place(problem, layer, "median over training"), axis))
    panels = [panel for panel in panels if panel.series]
    caption = (
        "Spectrum: the share of units whose timescale 1/(1 - f) is at least as long, units of all seeds in the last record; "
        "beside it the median "
        "unit over training, band over the seeds."
    )
    return Figure("timescales", "Spectra of timescales", caption, "lines", panels) if panels else None


def retention(problem: Problem) -> Figure | None:
    """The share of a state that is left after each lag."""
    panels = []
    for layer in layers_of(problem.variants):
        series = _against(problem, keys.retention(layer, "lags"), keys.retention(layer, "mean"))
        if series:
            title = place(problem, layer, "share of the state that is left")
            panels.append(Panel(title, Axis("lag (steps)"), Axis("share left", domain=(0, 1)), series))
    caption = (
        "Product of the keeping gate over the lag, mean over units, rows and seeds, in the last record: the part of the "
        "gradient dc(T)/dc(t) "
        "that goes through the state alone."
    )
    return Figure("retention", "Retention", caption, "lines", panels) if panels else None


def gradient_lag(problem: Problem) -> Figure | None:
    """Gradient of the loss against the lag."""
    panels = []
    same = _same_at_the_end(problem.variants)
    for end in (True,) if same else (False, True):
        for layer in flow_layers(problem.variants, end):
            for part in _parts(problem.variants, layer, end):
                series = []
                lags, norm = (keys.flow(layer, part, what, end) for what in ("lags", "norm"))
                for item in _against(problem, lags, norm):
                    variant = problem.variants[item.variant]
                    first = variant.recorded.mean_array(keys.flow(layer, "state", "norm", end))
                    scale = first[0] if first is not None and first.size and first[0] > 0 else np.nan
                    y = np.asarray(item.y) / scale
                    halves = variant.recorded.finals.get(keys.flow(layer, part, "half_life", end), [])
                    series.append(
                        Series(item.variant, item.x, np.where(y > 0, y, np.nan), note=_half_life(halves, np.ravel(item.x)[-1]))
                    )
                series = [item for item in series if np.isfinite(item.y).any()]
                if series:
                    loss = "" if same else ", loss at the end" if end else ", the task's loss"
                    title = place(problem, layer, ("whole state" if part == "state" else part) + loss)
                    panels.append(Panel(title, Axis("lag (steps)"), Axis("relative gradient norm", log=True), series))
    loss = "The task's loss is one at the end. " if same else ""
    caption = loss + (
        "Norm of dL/ds(T - lag), mean over rows and seeds, relative to that of the whole state at the last step, in the last "
        "record; ½ is the "
        "lag in which it halves (least-squares slope of the logarithm, median of the seeds). A level line is a gradient that "
        "reaches back "
        "undiminished."
    )
    return Figure("gradient-lag", "Gradient against lag", caption, "lines", panels) if panels else None


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
        for key in variant.recorded.arrays
        if (match := re.fullmatch(r"state/([^/]+)/([^/]+)/positions/norm", key))
    }
    panels = []
    for layer, part in sorted(names, key=lambda name: (natural(name[0]), name[1])):
        series = []
        for number, variant in enumerate(problem.variants):
            values = variant.recorded.mean_array(keys.state(layer, part, "positions/norm"))
            if values is not None and values.size:
                series.append(Series(number, (np.arange(values.size) + 0.5) * 100 / values.size, values))
        y = Axis(f"‖{part}‖", log=spans([item.y for item in series]))
        panels.append(Panel(place(problem, layer, part), Axis("position in the sequence (%)", domain=(0, 100)), y, series))
    caption = (
        "Norm of each part of the state along the sequence, mean over rows and seeds, in the last record. Growth without "
        "end is what a forget gate is for."
    )
    return Figure("state-growth", "Growth of the state", caption, "lines", panels) if panels else None


def dynamics(problem: Problem) -> Figure | None:
    """Lyapunov exponents and singular values of the one-step Jacobian, of runs that `gatelab inspect` has looked at."""
    kinds = (
        (keys.lyapunov, "exponents", "Lyapunov exponents", Axis("exponent (nats per step)")),
        (keys.jacobian, "singular_values", "singular values of one step", Axis("singular value", log=True)),
    )
    panels = []
    for build, what, title, y in kinds:
        layers = {key.split("/")[1] for variant in problem.variants for key in variant.recorded.arrays if key.endswith(f"/{what}")}
        for layer in sorted(layers, key=natural):
            series = []
            for number, variant in enumerate(problem.variants):
                values = variant.recorded.mean_array(build(layer, what))
                if values is not None and values.size:
                    note = f"largest {values[0]:.3g}"
                    series.append(Series(number, np.arange(1, values.size + 1), values, note=note))
            panels.append(Panel(place(problem, layer, title), Axis("rank"), y, series))
    caption = (
        "From `gatelab inspect`, mean over the seeds it has looked at. Exponents below 0 forget a disturbance of the state, above "
        "0 they amplify it; singular values say what one step does to it in the best and the worst direction."
    )
    return Figure("dynamics", "Dynamics", caption, "lines", panels) if panels else None


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


def _ordered(
    problem: Problem,
    found: list[tuple[float, float, float, list[float], int, str]],
    label: str,
    title: str,
    endless: Iterable[int] = (),
    longest_lag: float | None = None,
) -> Panel:
    """Intervals with the longest on top; above them what has no end."""
    found = sorted(found, key=lambda item: -item[0])
    rows = [*endless, *(item[4] for item in found)]
    series = [Series(number, [np.inf], [at], note="does not decay") for at, number in enumerate(endless)]
    for at, (middle, low, high, seeds, number, note) in enumerate(found, len(series)):
        series.append(Series(number, [middle], [at], [low], [high], seeds, note))
    x = Axis(label, log=all(item[1] > 0 for item in found))
    levels = {} if longest_lag is None else {"longest lag": longest_lag}
    return Panel(title, x, Axis("", categories=[problem.variants[number].name for number in rows]), series, levels)


def _against(problem: Problem, x_key: str, y_key: str) -> list[Series]:
    """One array against another, of every variant that has both."""
    series = []
    for number, variant in enumerate(problem.variants):
        x, y = variant.recorded.mean_array(x_key), variant.recorded.mean_array(y_key)
        if x is not None and y is not None and x.size == y.size and x.size:
            series.append(Series(number, x, y))
    return series


def flow_layers(variants: Iterable[DrawnVariant], end: bool) -> list[str]:
    found = {key.split("/")[1] for variant in variants for key in variant.recorded.arrays if _is_flow(key, end)}
    return sorted(found, key=natural)


def _parts(variants: Iterable[DrawnVariant], layer: str, end: bool) -> list[str]:
    """The parts of the state, the whole of it first."""
    found = {
        key.split("/")[2]
        for variant in variants
        for key in variant.recorded.arrays
        if _is_flow(key, end) and key.split("/")[1] == layer
    }
    return sorted(found, key=lambda part: (part != "state", part))


def _is_flow(key: str, end: bool) -> bool:
    return bool(re.fullmatch(rf"{'flow_end' if end else 'flow'}/[^/]+/[^/]+/norm", key))


def _half_life(seeds: list[float], reach: float) -> str:
    """The median of the seeds; beyond the longest lag it is extrapolated, and only that fact is shown."""
    known = [value for value in seeds if not np.isnan(value)]
    if not known:
        return ""
    middle = float(np.median(known))
    if not np.isfinite(middle):
        return "does not decay"
    return f"½: {middle:.3g} steps" if middle <= reach else f"½: over {reach:.0f} steps"


def longest_lag(variants: Iterable[DrawnVariant], layer: str) -> float | None:
    """Steps between the last one and the first that has a gradient."""
    lags = [variant.recorded.mean_array(keys.flow(layer, "state", "lags", end=True)) for variant in variants]
    return max((float(values[-1]) for values in lags if values is not None and values.size), default=None)


def _same_at_the_end(variants: Iterable[DrawnVariant]) -> bool:
    """Whether the task's own loss is one at the end, so that both gradients are the same."""
    pairs = [
        (values, variant.recorded.arrays.get(key.replace("flow/", "flow_end/", 1), []))
        for variant in variants
        for key, values in variant.recorded.arrays.items()
        if _is_flow(key, end=False)
    ]
    return all(len(a) == len(b) and all(map(np.array_equal, a, b)) for a, b in pairs)
