"""`gatelab list`: what the registries hold."""

import argparse
import inspect
from typing import Any

from rich.table import Table
from rich.text import Text

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
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    registry = KINDS[options.kind]
    for name in registry.names():
        try:
            entry = registry.build(name)
            identity = (inspect.getdoc(type(entry)) or "").partition("\n")[0]
            table.add_row(name, identity)
            table.add_row("", Text(_cell(entry) if options.kind == "cells" else _task(entry), "dim"))
        except UserError as error:  # of an installed package, or an option that has no default: the others are listed still
            table.add_row(name, str(error))
    Console().print(table)
    return 0


def _cell(cell: Any) -> str:
    return f"gates {', '.join(cell.gates.values())}; state {', '.join(cell.state)}"


def _task(task: Any) -> str:
    try:
        chance = f"{task.chance:.4g}"
    except UserError:
        chance = "needs its data"
    return f"score {task.metric}; chance {chance}; solved {task.solved:.4g}"
