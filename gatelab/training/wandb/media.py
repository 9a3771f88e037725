"""Histograms, plots and tables for W&B, made from the files of a run."""

import math
from collections.abc import Mapping
from typing import Any

from gatelab.diagnostics import keys
from gatelab.runs import Run


def bars(counts: Mapping[str, list[int]]) -> dict[str, Any]:
    """Histograms over [0, 1] by key."""
    import numpy
    import wandb

    edges = {len(value): numpy.linspace(0, 1, len(value) + 1) for value in counts.values()}
    return {key: wandb.Histogram(np_histogram=(numpy.array(value), edges[len(value)])) for key, value in counts.items()}


def plots(run: Run) -> dict[str, Any]:
    """A heat map (unit x training) of every gate, and every layer's gradient against the lag, first and last probe."""
    import plotly.graph_objects as go
    import wandb

    arrays = run.arrays()
    found = {}
    for key, (steps, rows) in arrays.items():
        family, layer, name, *what = key.split("/")
        if family == "gate" and what == ["units", "mean"]:
            units = [[_finite_or_none(value) for value in unit] for unit in zip(*rows, strict=True)]
            heat = {"type": "heatmap", "x": steps, "z": units, "zmin": 0, "zmax": 1}
            title = f"Layer {layer}, {name} gate: mean by unit"
            found[keys.plot("gate", layer, name)] = _figure([heat], title, "optimiser step", "unit")
    for layer in dict.fromkeys(key.split("/")[1] for key in arrays if key.startswith("flow_end/")):
        lines = []
        for key, (steps, rows) in arrays.items():
            if not key.startswith(f"flow_end/{layer}/") or not key.endswith("/norm"):
                continue
            part = key.split("/")[2]
            _, lags = arrays[keys.flow(layer, part, "lags", end=True)]
            for at in sorted({0, len(steps) - 1}):
                name = f"{part}, step {steps[at]}"
                values = [_finite_or_none(value) or None for value in rows[at]]  # a log axis has no 0
                lines.append({"type": "scatter", "mode": "lines", "name": name, "x": lags[at], "y": values})
        title = f"Layer {layer}: gradient of a loss at the end"
        found[keys.plot("flow", layer)] = _figure(lines, title, "lag (steps)", "E||dL/ds||", {"type": "log"})
    return {key: wandb.Plotly(go.Figure(figure)) for key, figure in found.items()}


def tables(run: Run) -> dict[str, Any]:
    """The last probe by unit: mean and saturation of every gate, and the timescale."""
    import wandb

    arrays = run.last_arrays()
    rows = []
    for key, means in arrays.items():
        family, layer, gate, *what = key.split("/")
        if family == "gate" and what == ["units", "mean"]:
            left, right = (arrays[keys.gate_units(layer, gate, f"saturated_{side}")] for side in ("left", "right"))
            columns = zip(means, left, right, strict=True)
            rows += [[layer, gate, unit, *map(_finite_or_none, values)] for unit, values in enumerate(columns)]
    scales = [
        [key.split("/")[1], unit, _finite_or_none(value)]
        for key, values in arrays.items()
        if key.startswith("timescale/")
        for unit, value in enumerate(values)
    ]
    found = {}
    if rows:
        headings = ["layer", "gate", "unit", "mean", "saturated_left", "saturated_right"]
        found[keys.table("units")] = wandb.Table(columns=[*headings], data=rows)
    if scales:
        found[keys.table("timescales")] = wandb.Table(columns=["layer", "unit", "steps"], data=scales)
    return found


def _finite_or_none(value: float) -> float | None:
    """JSON has no nan and no infinity."""
    return value if math.isfinite(value) else None


def _figure(traces: list[Any], title: str, x: str, y: str, yaxis: Mapping[str, Any] = {}) -> dict[str, Any]:
    layout = {"title": {"text": title}, "xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}, **yaxis}}
    return {"data": traces, "layout": layout}
