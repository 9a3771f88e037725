"""What the figures show, in words: who remembers longest, through which gate, and whether the seeds bear it out."""

import math

import numpy as np

from gatelab.analysis.comparison.conclusions import listed
from gatelab.analysis.figures import (
    DrawnVariant,
    Problem,
    flow_layers,
    gates_of,
    layers_of,
    longest_lag,
    memory_gate,
    timescale_seeds,
)
from gatelab.analysis.statistics.differences import welch_interval
from gatelab.diagnostics import keys


def memory_words(problem: Problem) -> list[str]:
    """Sentences on memory: timescales, their gate, what the gates tell apart, and the gradient. Empty if nothing was recorded.

    They compare the best variant of each cell, and call it by the cell's name.
    """
    variants = [problem.variants[number] for number in problem.one_per_cell]
    layers = layers_of(variants)
    ranked = []
    for variant in variants:
        # A variant is as slow as its slowest layer.
        of_layers = [(float(np.mean(seeds)), layer, seeds) for layer in layers if (seeds := timescale_seeds(variant, layer))]
        if of_layers:
            ranked.append((*max(of_layers, key=lambda item: item[0]), variant))
    ranked.sort(key=lambda item: -item[0])
    if not ranked:
        return []
    steps, layer, seeds, first = ranked[0]
    gate = memory_gate(first, layer)
    through = f", through its {gate} gate" if gate else ""
    longest = " longest" if len(ranked) > 1 else ""
    said = [f"{first.row.cell} keeps its state{longest}{through}: its median unit for {_short(steps)} steps."]
    if len(ranked) > 1:
        others = [f"{variant.row.cell} {_short(value)}" for value, _, _, variant in ranked[1:6]]
        gates = {memory_gate(variant, own) for _, own, _, variant in ranked}
        shared = f", all through the {gate} gate" if gates == {gate} and gate and len(ranked) > 2 else ""
        said.append(f"It is followed by {listed(others)}{shared}. {_holds(first, seeds, ranked[1][3], ranked[1][2])}")
    told = _events(first)
    if len(problem.variants) > len(variants):
        said.append("Each cell is represented by its best variant.")
    return [*said, *([told] if told else []), *_gradient(variants)]


def _holds(first: DrawnVariant, seeds: list[float], second: DrawnVariant, others: list[float]) -> str:
    """Whether the difference of two medians is more than what seeds do; on logarithms, since timescales are ratios."""
    if min(len(seeds), len(others)) < 2:
        return "One seed cannot tell whether that is chance."
    interval = welch_interval(np.log(seeds), np.log(others))
    ratio = math.exp(interval.value)
    if interval.low is None or interval.high is None:
        return ""
    bounds = f"a factor of {_short(ratio)}, 95% interval {_short(math.exp(interval.low))} to {_short(math.exp(interval.high))}"
    if interval.low > 0 or interval.high < 0:
        return f"The lead of {first.row.cell} over {second.row.cell} holds over the seeds ({bounds})."
    return f"The lead of {first.row.cell} over {second.row.cell} may be chance ({bounds})."


def _events(variant: DrawnVariant) -> str:
    """The gate that tells the task's events from the other steps best."""
    best = (0.0, "")
    for layer, gate in gates_of([variant]):
        there, elsewhere = (variant.recorded.finals.get(keys.gate(layer, gate, what)) for what in ("at_events", "elsewhere"))
        if there and elsewhere:
            a, b = float(np.nanmean(there)), float(np.nanmean(elsewhere))
            words = f"Its {gate} gate discriminates most: {a:.2f} at the task's events, {b:.2f} elsewhere."
            best = max(best, (abs(a - b), words))
    return best[1]


def _gradient(variants: list[DrawnVariant]) -> list[str]:
    """How far the gradient of a loss at the end reaches back; a half-life beyond the sequence is not quoted."""
    halves: list[tuple[float, str]] = []
    reach = 0.0
    for variant in variants:
        of_layers = []
        for layer in flow_layers([variant], end=True):
            values = np.array(variant.recorded.finals.get(keys.flow(layer, "state", "half_life", end=True), []))
            reach = max(reach, longest_lag([variant], layer) or 0.0)
            if not np.isnan(values).all():
                of_layers.append(float(np.median(values[~np.isnan(values)])))
        if of_layers:
            halves.append((max(of_layers), variant.row.cell))
    if not halves:
        return []
    hardly = [name for value, name in halves if value > reach]
    decaying = sorted((value, name) for value, name in halves if value <= reach)
    over = f"over the {_short(reach + 1)} steps of the sequence"
    if not decaying:
        return [
            f"The gradient of a loss at the end loses less than half {over} in {'each of them' if len(hardly) > 1 else hardly[0]}."
        ]
    said = listed([f"{name} {_short(value)}" for value, name in decaying[:6]])
    if not hardly:
        return [f"The steps in which the gradient of a loss at the end halves: {said}."]
    others = listed(hardly)
    return [f"The steps in which the gradient of a loss at the end halves: {said}; {over} it hardly decays in {others}."]


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
