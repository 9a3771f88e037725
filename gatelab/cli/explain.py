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
from gatelab.sweeps.naming import apart, entries_of

MATCHED = {"parameters": "parameters", "flops": "FLOPs"}


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
        say("\n\n".join(_latex(one) for one in found if one["kind"] == "cell"))
        return 0
    console = Console()
    for one in found:
        console.rule(f"{one['kind']} {one['name']}", align="left")
        console.print(one["docstring"], highlight=False)
        console.print()
        _print_options(console, one)
        table = Table(box=None, show_header=False, pad_edge=False)
        for row in _cell_rows(one) if one["kind"] == "cell" else _task_rows(one):
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


def _cell_rows(cell: dict[str, Any]) -> list[tuple[str, str]]:
    example = cell["example"]
    at = f"D={example['D']}, H={example['H']}"
    tape = f", tape of {example['tape']} steps" if "tape" in example else ""
    rows = [
        *(("" if number else "step", f"{line['name']} = {line['text']}") for number, line in enumerate(cell["equations"])),
        ("pre-activations", ", ".join(f"{letter} ({word})" for letter, word in cell["gates"].items())),
        ("state", f"{', '.join(cell['state'])}; fed back: {', '.join(cell['fed_back']) or 'nothing'}"),
        ("parameters", f"{cell['parameters']} a layer and direction"),
        (f"at {at}", ", ".join(f"{name} {tuple(shape)}" for name, shape in cell["shapes"].items())),
        ("FLOPs a step", f"{cell['flops_per_step']:,} forward at {at}{tape}"),
        ("pointwise part", f"{cell['pointwise_operators']} operators a unit"),
    ]
    match = cell["matched"]
    sizes = (f"H={match[what]['hidden_size']} in {name} ({100 * match[what]['off']:+.1f}%)" for what, name in MATCHED.items())
    rows.append((f"as large as {match['reference']}", f"at H={example['H']}: {', '.join(sizes)}"))
    if cell["constraint"]:
        rows.append(("constraints", "; ".join(f"{name} is {one['text']}" for name, one in cell["constraint"].items())))
    if cell["initial"]:
        rows.append(("initial values", "; ".join(f"{name}: {start['text']}" for name, start in cell["initial"].items())))
    starts = [f"{name} = {value:g}" for name, value in cell["initial_bias"].items() if value]
    starts += [name.replace("b.", "", 1) + " as above" for name in cell["initial"] if name.startswith("b.")]
    rows.append(("initial biases", f"{', '.join(starts)}, others 0" if starts else "0"))
    return rows


def _latex(cell: dict[str, Any]) -> str:
    """The equations of a cell as an environment of the package amsmath."""
    lines = (f"    {line['symbol']} &= {line['latex']}" for line in cell["equations"])
    return "\n".join([f"% {cell['name']}", r"\begin{align*}", " \\\\\n".join(lines), r"\end{align*}"])


_SHAPES = {"single": "scatter around one value", "any": "may lie in two clusters, solved and not solved"}


def _task_rows(task: dict[str, Any]) -> list[tuple[str, str]]:
    chance = f"needs its data: {task['chance_problem']}" if task["chance"] is None else f"{task['chance']:.5g}"
    better = "higher" if task["higher_is_better"] else "lower"
    waits = [("plateau", f"up to {task['plateau']:,} steps at chance, in which neither patience nor a pruner ends a run")]
    return [
        ("score", f"{task['metric']}, {better} is better, compared on a {task['scale']} scale"),
        ("scores of seeds", _SHAPES[task["shape"]]),
        ("chance", f"{chance}: {task['chance_derivation']}"),
        ("solved", f"{task['solved']:.5g}: {task['solved_derivation']}"),
        *(waits if task["plateau"] else []),
    ]
