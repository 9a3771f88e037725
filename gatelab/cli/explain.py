"""`gatelab explain`: what a cell or a task is, from its own declarations and docstring, and what was measured of it."""

import argparse
import inspect
from typing import Any

from rich.table import Table

from gatelab.bench.tables import print_speed
from gatelab.cells import CELLS, Cell, parameter_count
from gatelab.cli.naming import apart, entries_of
from gatelab.config import Model
from gatelab.diagnostics.cost import flops_per_step, parameter_formula, pointwise_operators
from gatelab.errors import UserError
from gatelab.options import describe
from gatelab.process.console import Console
from gatelab.tasks import Task
from gatelab.training.matching import nearest

EXAMPLE = (64, 128)  # D, H of the figures
TAPE = 100  # steps on the tape in the figures of a cell with memory


def run(options: argparse.Namespace) -> int:
    """Prints one page for each cell or task named."""
    console = Console()
    for words in apart(options.words):
        for kind, name, entry in entries_of(words, "explain"):
            console.rule(f"{kind} {name}", align="left")
            console.print(inspect.getdoc(type(entry)) or "", highlight=False)
            console.print()
            _print_options(console, kind, entry)
            rows = _cell_rows(entry) if isinstance(entry, Cell) else _task_rows(entry)
            table = Table(box=None, show_header=False, pad_edge=False)
            for row in rows:
                table.add_row(*row)
            console.print(table)
            if isinstance(entry, Cell):
                print_speed(console, name, entry)
    return 0


def _print_options(console: Console, kind: str, entry: Any) -> None:
    rows = describe(type(entry))
    if not rows:
        console.print("No options.\n")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("option", "default", "type", "meaning"):
        table.add_column(heading)
    for row in rows:
        accepted = f" ({', '.join(row['choices'])})" if row["choices"] else ""
        default = "null" if row["default"] is None else str(row["default"])
        table.add_row(f"{kind}.{row['name']}", default, row["type"].replace("None", "null"), row["help"] + accepted)
    console.print(table)
    console.print()


def _cell_rows(cell: Cell) -> list[tuple[str, str]]:
    D, H = EXAMPLE
    shapes = ", ".join(f"{name} {shape}" for name, shape in cell.shapes(D, H).items())
    tape = "" if cell.memory is None else f", tape of {TAPE} steps"
    rows = [
        ("pre-activations", ", ".join(f"{letter} ({word})" for letter, word in cell.gates.items())),
        ("state", f"{', '.join(cell.state)}; fed back: {', '.join(cell.fed_back) or 'nothing'}"),
        ("parameters", f"{parameter_formula(cell)} a layer and direction"),
        (f"at D={D}, H={H}", shapes),
        ("FLOPs a step", f"{flops_per_step(cell, D, H, TAPE):,} forward at D={D}, H={H}{tape}"),
        ("pointwise part", f"{pointwise_operators(cell)} operators a unit"),
    ]
    reference = Model().match_to
    rows.append((f"as large as {reference}", _matched(cell, CELLS.build(reference))))
    starts = ", ".join(f"{name} = {value:g}" for name, value in cell.initial_bias.items() if value)
    rows.append(("initial biases", f"{starts}, others 0" if starts else "0"))
    return rows


def _matched(cell: Cell, reference: Cell) -> str:
    """The hidden sizes of one layer that `model.match` would choose."""
    D, H = EXAMPLE
    size, off = nearest(lambda units: parameter_count(cell, D, units), parameter_count(reference, D, H))
    costly, more = nearest(lambda units: flops_per_step(cell, D, units, TAPE), flops_per_step(reference, D, H, TAPE))
    return f"at H={H}: H={size} in parameters ({100 * off:+.1f}%), H={costly} in FLOPs ({100 * more:+.1f}%)"


_SHAPES = {"single": "scatter around one value", "any": "may lie in two clusters, solved and not solved"}


def _task_rows(task: Task) -> list[tuple[str, str]]:
    try:
        chance = f"{task.chance:.5g}"
    except UserError as error:
        chance = f"needs its data: {error}"
    return [
        ("score", f"{task.metric}, {'higher' if task.higher_is_better else 'lower'} is better, compared on a {task.scale} scale"),
        ("scores of seeds", _SHAPES[task.shape]),
        ("chance", f"{chance}: {task.chance_derivation}"),
        ("solved", f"{task.solved:.5g}: {task.solved_derivation}"),
    ]
