"""`gatelab list`: what the registries hold."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from gatelab.errors import UserError
from gatelab.process.console import Console
from gatelab.process.output import say_json
from gatelab.registry.plugins import load_plugin
from gatelab.sweeps.described import described
from gatelab.sweeps.jobs.conf import REGISTRIES


def run(kind: str, plugins: Sequence[str], format: str) -> int:
    """Prints a name and a line for every entry."""
    for path in plugins:
        load_plugin(path, REGISTRIES.values())
    kind = kind.removesuffix("s")
    found = [_described(kind, name) for name in REGISTRIES[kind].names()]
    if format == "json":
        say_json(found)
        return 0
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(overflow="fold")
    for one in found:
        table.add_row(one["name"], one.get("problem") or one["identity"])
        if "problem" not in one:
            table.add_row("", Text(_cell(one) if kind == "cell" else _task(one), "dim"))
    Console().print(table)
    return 0


def _described(kind: str, name: str) -> dict[str, Any]:
    try:
        return described([name], "list", (kind,), whole=False)[0]
    except UserError as error:  # of an installed package, or an option that has no default: the others are listed still
        return {"kind": kind, "name": name, "problem": str(error)}


def _cell(cell: dict[str, Any]) -> str:
    return f"gates {', '.join(cell['gates'].values())}; state {', '.join(cell['state'])}"


def _task(task: dict[str, Any]) -> str:
    chance = "needs its data" if task["chance"] is None else f"{task['chance']:.4g}"
    return f"score {task['metric']}; chance {chance}; solved {task['solved']:.4g}"
