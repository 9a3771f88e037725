"""All statistics of gates, states and gradients, by metric key, from observations on a batch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from gatelab.diagnostics import decay, flow, gates, keys, states, timescales
from gatelab.diagnostics.observe import Flows, LayerRecord

DIGITS = 4  # significant digits of an array
RETENTION_ROWS = 8


@dataclass
class Findings:
    """Attributes:
    scalars: one number a key. Undefined ones (a batch without events, a missing gradient) are left out.
    histograms: counts of gates in equal bins over [0, 1].
    arrays: one number for each unit, position or lag.
    """

    scalars: dict[str, float] = field(default_factory=dict)
    histograms: dict[str, list[int]] = field(default_factory=dict)
    arrays: dict[str, list[float]] = field(default_factory=dict)

    def __or__(self, other: "Findings") -> "Findings":
        return Findings(self.scalars | other.scalars, self.histograms | other.histograms, self.arrays | other.arrays)

    def scalar(self, key: str, value: float) -> None:
        """Adds a number if it is defined."""
        if not math.isnan(value):
            self.scalars[key] = value

    def array(self, key: str, values: Tensor) -> None:
        """Adds an array (K,), rounded."""
        self.arrays[key] = [float(f"{value:.{DIGITS}g}") for value in values.tolist()]


def of_layers(
    layers: dict[str, LayerRecord], events: Tensor | None, left: float = gates.LEFT, right: float = gates.RIGHT
) -> Findings:
    """Gates, timescales and states.

    Args:
        layers: the observations.
        events: the task's events on the same rows, (B, T), or None.
        left, right: a gate below or above is saturated.
    """
    found = Findings()
    for name, layer in layers.items():
        for gate, values in layer.gates.items():
            bounded = gate not in layer.unbounded
            flat = gates.valid(values, layer.lengths)
            by_unit = gates.units(flat, left, right)
            counts = gates.histogram(flat)
            for what, number in gates.statistics(flat, by_unit, counts).items():
                if bounded or what in gates.OF_ANY_RANGE:
                    found.scalar(keys.gate(name, gate, what), number)
            steps = values.mean(-1)
            if bounded:
                found.histograms[keys.gate(name, gate)] = counts
                for what, numbers in by_unit.items():
                    found.array(keys.gate_units(name, gate, what), numbers)
                found.array(keys.gate_positions(name, gate), gates.profile(steps, layer.lengths, layer.at, layer.length))
            if events is not None:
                for what, number in gates.at_events(steps, _in_scan_order(events, name, layer), layer.lengths).items():
                    found.scalar(keys.gate(name, gate, what), number)
            if gate == layer.retention and bounded:
                _timescales(found, name, flat, layer)
        for part, values in layer.states.items():
            by_row = states.norms(values)
            positions = gates.profile(by_row, layer.lengths, layer.at, layer.length)
            found.scalar(keys.state(name, part, "norm"), states.mean(by_row, layer.lengths))
            found.scalar(keys.state(name, part, "growth"), states.growth(positions, layer.length / len(positions)))
            found.array(keys.state(name, part, "positions/norm"), positions)
    return found


def of_flows(own: Flows, end: Flows, per_step: bool = False) -> Findings:
    """Gradients against the lag.

    Args:
        own: gradients of the task's own loss.
        end: gradients of a loss at the last step only.
        per_step: also the ratio of successive norms at every lag that is recorded.
    """
    if end is own:
        return _of_flows(own, (False, True), per_step)
    return _of_flows(own, (False,), per_step) | _of_flows(end, (True,), per_step)


def _of_flows(flows: Flows, ends: Sequence[bool], per_step: bool) -> Findings:
    found = Findings()
    for layer, (cotangents, lengths) in flows.items():
        for part, by_row in flow.norms(cotangents, lengths).items():
            curve = flow.curve(by_row, lengths)
            at = timescales.lags(len(curve)).to(curve.device)
            ratios = flow.ratios(by_row, lengths)
            fit = decay.fit(curve.tolist())
            half_life = decay.half_life(at.tolist(), curve[at].tolist())
            omega = flow.omega(ratios)
            for end in ends:
                found.array(keys.flow(layer, part, "lags", end), at)
                found.array(keys.flow(layer, part, "norm", end), curve[at])
                found.scalar(keys.flow(layer, part, "half_life", end), half_life)
                found.scalar(keys.flow(layer, part, "slope", end), fit.slope)
                found.scalar(keys.flow(layer, part, "r2", end), fit.r2)
                found.scalar(keys.flow(layer, part, "omega", end), omega)
                if per_step and len(ratios):
                    found.array(keys.flow(layer, part, "ratio", end), ratios.nanmean(1)[at[:-1]])
    return found


def _timescales(found: Findings, name: str, gate: Tensor, layer: LayerRecord) -> None:
    tau = timescales.timescale(gate)
    found.array(keys.timescale(name, "units"), tau)
    for what, number in timescales.quantiles(tau).items():
        found.scalar(keys.timescale(name, what), number)
    # Only a few rows: products over time for all of them would be the most expensive statistic.
    kept = layer.last[layer.retention][:, :RETENTION_ROWS]
    lengths = None if layer.lengths is None else layer.lengths[:RETENTION_ROWS]
    at = timescales.lags(len(kept) + 1).to(kept.device)
    found.array(keys.retention(name, "lags"), at)
    found.array(keys.retention(name, "mean"), timescales.retention(kept, lengths, at))


def _in_scan_order(events: Tensor, name: str, layer: LayerRecord) -> Tensor:
    mask = events.transpose(0, 1)[: layer.length]
    if name.endswith("_reverse"):
        mask = timescales.by_lag(mask, layer.lengths)
    return mask[layer.at]
