"""What `gatelab inspect` found in a model, for the terminal."""

import math
from pathlib import Path
from typing import Any

from rich.table import Table

from gatelab.diagnostics import decay, keys
from gatelab.process.console import Console
from gatelab.runs import Run

NOTHING = "–"


def print_inspected(console: Console, run: Run, found: dict[str, Any]) -> None:
    """A page on one run.

    Args:
        console: where to.
        run: that was inspected.
        found: what is in its inspect.json.
    """
    console.rule(run.path.name, align="left")
    scores = {name: value for name, value in found["scores"].items() if "/" not in name}
    text = "  ".join(f"{name} {value:.4g}" for name, value in scores.items())

    def say(line: str) -> None:
        console.print(line, highlight=False, soft_wrap=True)

    say(f"{found['checkpoint']} checkpoint, step {found['step']}; {found['split']}: {text}")
    slots = [value for name, value in found["scores"].items() if name.startswith("recall/")]
    if slots:
        say("recall by slot, first to last: " + " ".join(f"{value:.0%}" for value in slots))
    layers = list(dict.fromkeys(key.split("/")[1] for key in found["scalars"] if key.startswith("state/")))
    console.print(_gates(found, layers))
    console.print(_memory(found, layers))
    for file in found["plugins"]:
        if Path(file).is_relative_to(run.path.absolute()):
            say(f"Computed with the run's copy of its plugin, {file}; the file itself has changed since, or is gone.")
    for key, reason in found["left_out"].items():
        say(f"{key} is left out: {reason}.")
    say(f"Over {found['sequences']} sequences. All numbers: {Path(run.path) / 'inspect.json'}")


def _gates(found: dict[str, Any], layers: list[str]) -> Table:
    """One row a gate."""
    columns = {"mean": "mean", "std": "std", "saturated_left": "left", "saturated_right": "right", "entropy": "entropy"}
    columns |= {"at_events": "at events", "elsewhere": "elsewhere"}
    columns = {what: heading for what, heading in columns.items() if any(key.endswith(f"/{what}") for key in found["scalars"])}
    table = Table("layer", "gate", box=None, header_style="bold", pad_edge=False)
    for heading in columns.values():
        table.add_column(heading, justify="right")
    for key in found["scalars"]:
        family, layer, gate, *what = key.split("/")
        if family == "gate" and what == ["mean"] and layer in layers:
            table.add_row(layer, gate, *(_or_dash(found["scalars"].get(keys.gate(layer, gate, what))) for what in columns))
    return table


def _memory(found: dict[str, Any], layers: list[str]) -> Table:
    """One column a layer: how long it keeps, and how far its gradients reach."""

    def scalar(key: str) -> str:
        return _or_dash(found["scalars"].get(key))

    rows = {
        "timescale, 10% quantile (steps)": lambda layer: scalar(keys.timescale(layer, "q10")),
        "timescale, median (steps)": lambda layer: scalar(keys.timescale(layer, "q50")),
        "timescale, 90% quantile (steps)": lambda layer: scalar(keys.timescale(layer, "q90")),
        "timescale, longest of a unit (steps)": lambda layer: scalar(keys.timescale(layer, "max")),
        "half-life of the gradient (steps)": lambda layer: _half_lives(found, layer)[0],
        "  of an exponential fitted to it": lambda layer: _half_lives(found, layer)[1],
        "Omega": lambda layer: scalar(keys.flow(layer, "state", "omega", end=True)),
        "largest Lyapunov exponent (nats/step)": lambda layer: scalar(keys.lyapunov(layer, "largest")),
        "  its range over start directions": lambda layer: scalar(keys.lyapunov(layer, "largest_over_starts")),
        "  its standard deviation over sequences": lambda layer: scalar(keys.lyapunov(layer, "largest_over_sequences")),
        "largest singular value of a step": lambda layer: scalar(keys.jacobian(layer, "largest")),
        "smallest": lambda layer: scalar(keys.jacobian(layer, "smallest")),
    }
    table = Table("layer", box=None, header_style="bold", pad_edge=False)
    for layer in layers:
        table.add_column(layer, justify="right")
    for heading, text_of in rows.items():
        values = [text_of(layer) for layer in layers]
        if any(value != NOTHING for value in values):
            table.add_row(heading, *values)
    return table


def _half_lives(found: dict[str, Any], layer: str) -> tuple[str, str]:
    """How fast the gradient of a loss at the end decays: as measured, and by the exponential that describes it, with its R2."""
    half_life, slope, r2 = (
        found["scalars"].get(keys.flow(layer, "state", what, end=True)) for what in ("half_life", "slope", "r2")
    )
    lags = found["arrays"].get(keys.flow(layer, "state", "lags", end=True))
    measured = f"over {lags[-1]:.0f}" if lags and half_life == math.inf else _or_dash(half_life)
    if slope is None or r2 is None or r2 < decay.GOOD_FIT:
        return measured, NOTHING
    return measured, f"{decay.Fit(slope, r2).half_life:.3g} (R2 {r2:.2f})"


def _or_dash(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.3g}"
