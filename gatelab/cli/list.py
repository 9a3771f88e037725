"""`gatelab list`: what the registries hold."""

import argparse
import inspect

from rich.table import Table

from gatelab.cells import CELLS
from gatelab.errors import UserError
from gatelab.process.console import Console
from gatelab.registry import Registry
from gatelab.registry.plugins import load_plugin
from gatelab.tasks import TASKS

KINDS: dict[str, Registry] = {"cells": CELLS, "tasks": TASKS}


def run(options: argparse.Namespace) -> int:
    """Prints a name and a line for every entry."""
    for path in options.plugins:
        load_plugin(path, KINDS.values())
    table = Table(box=None, show_header=True, header_style="bold", pad_edge=False)
    columns = _CELL if options.kind == "cells" else _TASK
    for heading in columns:
        table.add_column(heading, overflow="fold")
    registry = KINDS[options.kind]
    for name in registry.names():
        try:
            entry = registry.build(name)
            row = [str(show(name, entry)) for show in columns.values()]
        except UserError as error:  # of an installed package, or an option that has no default: the others are listed still
            row = [name, *[""] * (len(columns) - 2), str(error)]
        table.add_row(*row)
    Console().print(table)
    return 0


def _identity(_: str, entry: object) -> str:
    return (inspect.getdoc(type(entry)) or "").partition("\n")[0]


def _chance(_: str, task: object) -> str:
    try:
        return f"{task.chance:.4g}"  # type: ignore[attr-defined]
    except UserError:
        return "needs its data"


_CELL = {
    "cell": lambda name, _: name,
    "gates": lambda _, cell: ", ".join(cell.gates.values()),
    "state": lambda _, cell: ", ".join(cell.state),
    "": _identity,
}
_TASK = {
    "task": lambda name, _: name,
    "score": lambda _, task: task.metric,
    "chance": _chance,
    "solved": lambda _, task: f"{task.solved:.4g}",
    "": _identity,
}
