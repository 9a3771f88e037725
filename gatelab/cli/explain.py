"""`gatelab explain`: what a cell or a task is, from its own declarations and docstring, and what was measured of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from gatelab.bench.measured import figures
from gatelab.bench.tables import print_speed
from gatelab.cli.arguments import output_file
from gatelab.errors import UserError
from gatelab.process.console import Console
from gatelab.process.output import say, say_json
from gatelab.runs.files import replacing
from gatelab.sweeps.described import described
from gatelab.sweeps.facts import cell_rows, flowing, latex, task_rows
from gatelab.sweeps.naming import apart, entries_of


def run(words: Sequence[str], format: str, diagram: str | None) -> int:
    """Prints one page for each cell or task named."""
    if diagram is not None:
        _draw(words, output_file(diagram, "--diagram"))
    found = [one for named in apart(words) for one in described(named, "explain")]
    for one in found:
        if one["kind"] == "cell":
            defaults = {option["name"]: option["default"] for option in one["options"]}
            head, rows = figures(one["name"], one["values"], defaults)
            one["measured"] = head | {"rows": rows} if rows else None
    if format == "json":
        say_json(found)
        return 0
    if format == "latex":
        say("\n\n".join(latex(one) for one in found if one["kind"] == "cell"))
        return 0
    console = Console()
    for one in found:
        console.rule(f"{one['kind']} {one['name']}", align="left")
        console.print(flowing(one["docstring"]), highlight=False)
        console.print()
        _print_options(console, one)
        table = Table(box=None, show_header=False, pad_edge=False)
        for row in cell_rows(one) if one["kind"] == "cell" else task_rows(one):
            table.add_row(*row)
        console.print(table)
        if one["kind"] == "cell":
            print_speed(console, one["name"], one["measured"])
    return 0


def _draw(words: Sequence[str], path: Path) -> None:
    """Writes the picture of the one cell that the words name."""
    from gatelab.cells import drawing  # with torch

    cells = [(name, cell) for named in apart(words) for kind, name, cell in entries_of(named, "explain") if kind == "cell"]
    if len(cells) != 1 or path.suffix != ".svg":
        what = f"{len(cells)} cells were named" if len(cells) != 1 else f"its name is '{path.name}'"
        raise UserError(
            f"--diagram draws one cell into one file that ends in .svg, but {what}: gatelab explain lstm --diagram lstm.svg"
        )
    text = drawing(cells[0][1], f"One time step of the cell {cells[0][0]}")
    if text is None:
        raise UserError(f"The equations of '{cells[0][0]}' cannot be read off its step, so that they cannot be drawn.")
    with replacing(path) as temporary:
        temporary.write_text(text)
    say(f"Diagram: {path.resolve()}", stderr=True)


def _print_options(console: Console, entry: dict[str, Any]) -> None:
    if not entry["options"]:
        console.print("No options.\n")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("option", "default", "type", "meaning"):
        table.add_column(heading)
    for row in entry["options"]:
        accepted = f" ({', '.join(row['choices'])})" if row["choices"] else ""
        default = "null" if row["default"] is None else str(row["default"])
        table.add_row(f"{entry['kind']}.{row['name']}", default, row["type"].replace("None", "null"), row["help"] + accepted)
    console.print(table)
    console.print()
