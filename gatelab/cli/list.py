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

NO_YEAR = 9999  # after all others: a cell whose docstring has no reference


def run(kind: str, plugins: Sequence[str], format: str) -> int:
    """Prints a name and a line for every entry."""
    for path in plugins:
        load_plugin(path, REGISTRIES.values())
    kind = kind.removesuffix("s")
    found = [_described(kind, name) for name in REGISTRIES[kind].names()]
    if format == "json":
        say_json(found)
        return 0
    console = Console()
    width = max(len(one["name"]) for one in found)
    for heading, group in _groups(found):
        if heading:
            console.rule(heading, align="left")
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(min_width=width)
        table.add_column(overflow="fold")
        for one in group:
            table.add_row(one["name"], one.get("problem") or one["identity"])
            if "problem" not in one:
                table.add_row("", Text(_cell(one) if kind == "cell" else _task(one), "dim"))
        console.print(table)
    sizes = [f"D={one['example']['D']}, H={one['example']['H']}" for one in found if "example" in one]
    if sizes:
        console.print(f"\nFLOPs of a step forward at {sizes[0]}. A cell has a compiled loop unless its line says why not.")
    return 0


def _groups(found: Sequence[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """The entries by family, the one with the oldest cell first, and in it the oldest cell; tasks have no family."""
    families: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        families.setdefault(one.get("family", ""), []).append(one)
    for group in families.values():
        group.sort(key=lambda one: one.get("year") or NO_YEAR)
    return sorted(families.items(), key=lambda item: item[1][0].get("year") or NO_YEAR)


def _described(kind: str, name: str) -> dict[str, Any]:
    try:
        return described([name], "list", (kind,), whole=False)[0]
    except UserError as error:  # of an installed package, or an option that has no default: the others are listed still
        return {"kind": kind, "name": name, "problem": str(error)}


def _cell(cell: dict[str, Any]) -> str:
    facts = [
        *([str(cell["year"])] if cell["year"] else []),
        f"{cell['parameters']} parameters, {cell['flops_per_step']:,} FLOPs",
        f"gates {', '.join(cell['gates'].values())}; state {', '.join(cell['state'])}",
        *([", ".join(cell["needs"])] if cell["needs"] else []),
        *([f"eager loop only: {cell['not_compiled']}"] if cell["not_compiled"] else []),
    ]
    return "; ".join(facts)


def _task(task: dict[str, Any]) -> str:
    chance = "needs its data" if task["chance"] is None else f"{task['chance']:.4g}"
    return f"score {task['metric']}; chance {chance}; solved {task['solved']:.4g}"
