"""`gatelab inspect`: a trained model from the inside, printed and added to its run directory."""

import argparse
from pathlib import Path
from typing import Any

from rich.table import Table

from gatelab.cli.arguments import run_folders
from gatelab.diagnostics import keys
from gatelab.errors import UserError
from gatelab.process.console import Console
from gatelab.runs import Run, find_runs
from gatelab.training.inspection import inspect


def run(options: argparse.Namespace) -> int:
    """Inspects every run and prints a page for each."""
    runs, skipped = find_runs(run_folders(options))
    if not runs:
        reasons = "; ".join(f"{item.path}: {item.reason}" for item in skipped)
        raise UserError(f"inspect: there is no run in {', '.join(options.folders)}{f' ({reasons})' if reasons else ''}.")
    console = Console()
    for one in runs:
        _print(console, one, inspect(one, options.checkpoint, options.split, options.sequences, options.trust))
    return 0


def _print(console: Console, run: Run, found: dict[str, Any]) -> None:
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
    rows = {
        "timescale, 10% quantile (steps)": lambda layer: keys.timescale(layer, "q10"),
        "timescale, median (steps)": lambda layer: keys.timescale(layer, "q50"),
        "timescale, 90% quantile (steps)": lambda layer: keys.timescale(layer, "q90"),
        "timescale, longest of a unit (steps)": lambda layer: keys.timescale(layer, "max"),
        "half-life of the gradient (steps)": lambda layer: keys.flow(layer, "state", "half_life", end=True),
        "R2 of an exponential fitted to it": lambda layer: keys.flow(layer, "state", "r2", end=True),
        "Omega": lambda layer: keys.flow(layer, "state", "omega", end=True),
        "largest Lyapunov exponent (nats/step)": lambda layer: keys.lyapunov(layer, "largest"),
        "  its range over start directions": lambda layer: keys.lyapunov(layer, "largest_over_starts"),
        "  its standard deviation over sequences": lambda layer: keys.lyapunov(layer, "largest_over_sequences"),
        "largest singular value of a step": lambda layer: keys.jacobian(layer, "largest"),
        "smallest": lambda layer: keys.jacobian(layer, "smallest"),
    }
    table = Table("layer", box=None, header_style="bold", pad_edge=False)
    for layer in layers:
        table.add_column(layer, justify="right")
    for heading, key in rows.items():
        values = [found["scalars"].get(key(layer)) for layer in layers]
        if any(value is not None for value in values):
            table.add_row(heading, *map(_or_dash, values))
    return table


def _or_dash(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"
