"""Histograms, plots and tables for W&B, made from the files of a run.

Training waits for them: Plotly's and W&B's own classes check every number of a figure and every row of a table, which takes
ten times as long as to write them.
"""

import functools
import importlib.util
import json
import math
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

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
    return {key: _plotly()(figure) for key, figure in found.items()}


def tables(run: Run) -> dict[str, Any]:
    """The last probe by unit: mean and saturation of every gate, and the timescale."""
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
        found[keys.table("units")] = _table(headings, rows)
    if scales:
        found[keys.table("timescales")] = _table(["layer", "unit", "steps"], scales)
    return found


def _table(headings: list[str], rows: list[list[Any]]) -> Any:
    """A W&B table whose column types are found from one row with a value in every column that has any."""
    import wandb

    typical = [next((value for value in column if value is not None), None) for column in zip(*rows, strict=True)]
    table = wandb.Table(columns=[*headings], data=[typical])
    table.data = rows
    return table


@functools.cache
def _plotly() -> Callable[[Mapping[str, Any]], Any]:
    """W&B's medium for a figure of Plotly, which takes plain containers."""
    import wandb

    class Figure(wandb.Plotly):
        def __init__(self, figure: Mapping[str, Any]) -> None:
            super(wandb.Plotly, self).__init__()  # not that of Plotly, which takes no plain containers
            with tempfile.NamedTemporaryFile(suffix=".plotly.json", delete=False) as file:
                file.write(orjson.dumps(figure))
            self._set_file(file.name, is_tmp=True, extension=".plotly.json")  # which W&B moves to the run

    return Figure


@functools.cache
def _template() -> dict[str, Any]:
    """The look that Plotly gives to every figure.

    Read from its file, where Plotly has one: its import takes longer than all plots of a short run.
    """
    package = importlib.util.find_spec("plotly")
    for folder in (package and package.submodule_search_locations) or ():
        file = Path(folder, "package_data", "templates", "plotly.json")
        if file.exists():
            return json.loads(file.read_text(encoding="utf-8"))
    from plotly.io import templates

    return templates["plotly"].to_plotly_json()


def _finite_or_none(value: float) -> float | None:
    """JSON has no nan and no infinity."""
    return value if math.isfinite(value) else None


def _figure(traces: list[Any], title: str, x: str, y: str, yaxis: Mapping[str, Any] = {}) -> dict[str, Any]:
    layout = {"title": {"text": title}, "xaxis": {"title": {"text": x}}, "yaxis": {"title": {"text": y}, **yaxis}}
    return {"data": traces, "layout": layout | {"template": _template()}}
