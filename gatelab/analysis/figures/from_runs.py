"""From run directories to what is drawn: problems, their variants, and how each looks."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from gatelab.analysis.comparison.table import Comparison, Row
from gatelab.analysis.figures import DrawnVariant, Problem, natural
from gatelab.analysis.figures.looks import DASHES, look_of
from gatelab.analysis.reading.learnt import learnt_runs
from gatelab.analysis.reading.option_values import label, short_options
from gatelab.analysis.reading.results import read_results
from gatelab.analysis.reading.series import read_recorded
from gatelab.runs import Skipped

POINTS = 150  # of a curve: more than a chart has pixels for would only make the page heavy
MEMBERS = 6  # variants of a cell that are drawn, one for each dash


def read_problems(comparison: Comparison, points: int = POINTS) -> tuple[list[Problem], list[Skipped]]:
    """Reads what is drawn.

    Args:
        comparison: of the runs.
        points: at most so many a curve.

    Returns:
        The problems in the order of the rows; and what was left out, with that of the comparison: one item for each run.
    """
    problems, skipped = [], [*comparison.skipped]
    for _, rows in itertools.groupby(comparison.rows, key=lambda row: row.problem):
        problem, damaged = _read(list(rows), len(problems), points)
        problems.append(problem)
        skipped += damaged
    problems = [dataclasses.replace(problem, together=len(problems)) for problem in problems]
    reasons: dict[Path, list[str]] = {}
    for item in skipped:
        reasons.setdefault(item.path, []).append(item.reason)
    return problems, [Skipped(path, "; ".join(said)) for path, said in reasons.items()]


def _read(rows: Sequence[Row], number: int, points: int) -> tuple[Problem, list[Skipped]]:
    short = short_options(row.options for row in rows)
    options = sorted(short, key=lambda values: natural(str(values)))
    variants: list[DrawnVariant] = []
    hidden, skipped = [], []
    drawn: Counter[str] = Counter()
    for row in rows:
        alive = [run for run in row.variant.runs if run.state != "failed"]
        name = label(row.cell, short[row.options])
        if alive and drawn[row.cell] >= MEMBERS:
            hidden.append(name)
        elif alive:
            recorded, damaged = read_recorded(alive, points, pictures=not drawn[row.cell])
            skipped += damaged
            if recorded.runs:
                results, _ = read_results(row.variant)
                learnt = learnt_runs(results)
                colour, symbol, dash = look_of(row.cell)
                if len(options) > 1:  # the same options have the same dashes in all cells, if there are enough
                    dash = options.index(row.options) if len(options) <= len(DASHES) else drawn[row.cell]
                inside = recorded if len(learnt) == recorded.runs else read_recorded(learnt, points)[0]
                known = recorded, inside, len(results) - len(learnt)
                variants.append(DrawnVariant(row, *known, name, short[row.options], colour, symbol, dash))
                drawn[row.cell] += 1
    return Problem(number, label(rows[0].task, rows[0].task_options), variants, hidden, list(rows)), skipped


def missing(problem: Problem) -> list[str]:
    """Seeds that others of the problem have and a variant lacks: "lstm, hidden_size=64: seeds 1, 2"."""
    seeds = {run.seed for row in problem.rows for run in row.variant.runs}
    short = short_options(row.options for row in problem.rows)
    said = []
    for row in problem.rows:
        absent = sorted(seeds - {run.seed for run in row.variant.runs})
        if absent:
            listed = ", ".join(map(str, absent[:20])) + (f" and {len(absent) - 20} more" if len(absent) > 20 else "")
            said.append(f"{label(row.cell, short[row.options])}: {'seed' if len(absent) == 1 else 'seeds'} {listed}")
    return said


def states(runs: Iterable[str]) -> dict[str, int]:
    """How many runs are in each state, finished first."""
    counts = Counter(runs)
    return {state: counts[state] for state in ("finished", "running", "preempted", "pruned", "failed") if counts[state]}
