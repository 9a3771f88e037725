"""From run directories to what is drawn: problems, their settings, and how each looks."""

import itertools
from collections import Counter
from collections.abc import Iterable, Sequence

from gatelab.analysis.comparison.formats import name, short_options
from gatelab.analysis.comparison.table import Comparison, Row
from gatelab.analysis.figures import COLOURS, DASHES, SYMBOLS, Problem, Setting, natural
from gatelab.analysis.reading.groups import Group
from gatelab.analysis.reading.series import read_records
from gatelab.runs import Skipped

POINTS = 150  # of a curve: more than a chart has pixels for would only make the page heavy
MEMBERS = 6  # settings of a cell that are drawn, one for each dash


def read_problems(comparison: Comparison, points: int = POINTS) -> tuple[list[Problem], list[Skipped]]:
    """Reads what is drawn.

    Args:
        comparison: rows and groups.
        points: at most so many a curve.

    Returns:
        The problems in the order of the rows, and the runs whose curves are left out because they are damaged.
    """
    cells = sorted({row.cell for row in comparison.rows})
    problems, skipped = [], []
    pairs = zip(comparison.rows, comparison.groups, strict=True)
    for _, members in itertools.groupby(pairs, key=lambda pair: pair[0].problem):
        problem, damaged = _read(list(members), cells, len(problems), points)
        problems.append(problem)
        skipped += damaged
    return problems, skipped


def _read(members: Sequence[tuple[Row, Group]], cells: Sequence[str], number: int, points: int) -> tuple[Problem, list[Skipped]]:
    short = short_options(row.options for row, _ in members)
    options = sorted(short, key=lambda values: natural(str(values)))
    settings: list[Setting] = []
    hidden, skipped = [], []
    drawn: Counter[str] = Counter()
    for row, group in members:
        alive = [run for run in group.runs if run.state != "failed"]
        label = name(row.cell, short[row.options])
        if alive and drawn[row.cell] >= MEMBERS:
            hidden.append(label)
        elif alive:
            records, damaged = read_records(alive, points, pictures=not drawn[row.cell])
            skipped += damaged
            if records.runs:
                cell = cells.index(row.cell)
                # The same options have the same dashes in all cells, if there are enough. Without options, cells have.
                several = options.index(row.options) if len(options) <= len(DASHES) else drawn[row.cell]
                dash = several if len(options) > 1 else cell % len(DASHES)
                look = cell % len(COLOURS), (cell + 3 * (cell // len(COLOURS))) % len(SYMBOLS), dash
                settings.append(Setting(row, group, records, label, short[row.options], *look))
                drawn[row.cell] += 1
    row = members[0][0]
    title = name(row.task, row.task_options)
    return Problem(number, title, settings, hidden, list(members)), skipped


def missing(problem: Problem) -> list[str]:
    """Seeds that others of the problem have and a setting lacks: "lstm, hidden_size=64: seeds 1, 2"."""
    seeds = {run.seed for _, group in problem.groups for run in group.runs}
    short = short_options(row.options for row, _ in problem.groups)
    said = []
    for row, group in problem.groups:
        absent = sorted(seeds - {run.seed for run in group.runs})
        if absent:
            listed = ", ".join(map(str, absent[:20])) + (f" and {len(absent) - 20} more" if len(absent) > 20 else "")
            said.append(f"{name(row.cell, short[row.options])}: {'seed' if len(absent) == 1 else 'seeds'} {listed}")
    return said


def states(runs: Iterable[str]) -> dict[str, int]:
    """How many runs are in each state, finished first."""
    counts = Counter(runs)
    return {state: counts[state] for state in ("finished", "running", "preempted", "pruned", "failed") if counts[state]}
