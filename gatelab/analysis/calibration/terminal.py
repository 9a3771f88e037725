"""The table of a calibration: as text for a terminal, as Markdown, and as plain containers."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from gatelab.analysis.calibration.cells import (
    COVERAGE,
    ERRORS,
    FALSE_SEARCHES,
    HOLDS,
    LOOKS,
    OF_SEARCHES,
    RUNS,
    SEARCHES,
    TRIALS,
    WIDTHS,
    Cell,
)
from gatelab.analysis.comparison.numbers import NOTHING
from gatelab.process.console import Console

_BARS = {
    COVERAGE: "bar: .93 to .98 for 5 and 10 runs, .90 and more for 3",
    ERRORS: "bar: .06 and less; the baseline is one of the variants",
    HOLDS: "bar: .03 and less",
    LOOKS: "bar: .035 and less; columns: runs at the first look",
    SEARCHES: "bar: .93 and more, of the best tenth .92",
    WIDTHS: "bar: .08 for 40 shared draws, true sd .037",
    FALSE_SEARCHES: "bar: .03 and less",
}
# Why nothing is printed: by how the name of a row begins.
REASONS = {
    "median time": "fewer than 5 times have no range that covers .93",
    "median": "fewer than 5 scores have no range that covers .93",
    "P(better), times": "of 5 runs the interval covers .90 where nine runs of ten solve the task, at different speeds",
    "P(better)": "of fewer than 4 runs the interval covers .86 to .97",
    "difference, ranks": "fewer than 4 against 4 runs can reject nothing at 5%",
    "difference, --paired": "fewer than 6 pairs can reject nothing at 5% where ranks are tested",
    "time ratio": "fewer than 4 against 4 runs can reject nothing at 5%",
    "all of 4": "fewer than 4 against 4 runs can reject nothing, 5 against 5 not where 4 share the 5%",
    "mean": "samples that show two clusters or do not vary have no mean",
    "IQM": "a bootstrap of the seeds within each task covers .68 to .92",
    "best tenth of one search": "no resample holds anything better than the best trial",
    "expected best": "a band covers from 2 trials (the mean of skewed scores: .85 to .88) up to an eighth of them",
    "share of the variance": "printed where its interval is narrower than .5; needs the package optuna",
}
_LEGEND = (
    "n: runs of each variant, of a search its trials. –: not printed, for the reason named. !: the bar is missed by more than two "
    "standard errors of the simulation. +: an interval covers more than it has to; exact intervals of counts and of ties cannot do "
    "otherwise. ?: not judged: scores that do not scatter as their task declares, which few runs cannot show."
)


def print_calibration(cells: Sequence[Cell], repetitions: int, console: Console) -> None:
    """Prints what was measured, a line for each statistic and truth.

    Args:
        cells: of all jobs.
        repetitions: of each simulation, for the title.
        console: where to.
    """
    for kind, members in _parts(cells):
        console.print(Text.assemble((kind, "bold"), f"  {_BARS.get(kind, '')}"))
        table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 1, 0, 0))
        for heading in ("of", "scores"):
            table.add_column(heading, no_wrap=True)
        for n in _numbers(kind):
            table.add_column(f"n = {n}", no_wrap=True, min_width=6)  # a number is never cut
        for (of, truth), row in rows_of(members).items():
            table.add_row(of, truth, *(_shown(row.get(n)) for n in _numbers(kind)))
        console.print(table, crop=False)
        for line in _reasons(members):
            console.print(Text(line), style="dim")
        console.print()
    console.print(Text(_LEGEND), style="dim")
    console.print(Text(verdict(cells, repetitions)))


def verdict(cells: Sequence[Cell], repetitions: int) -> str:
    """Whether all bars are met, in a sentence."""
    failed = sum(cell.failed for cell in cells)
    met = f"{failed} of them {'misses its' if failed == 1 else 'miss their'} bar" if failed else "all bars are met"
    return f"{len(cells)} numbers from {repetitions:,} repetitions: {met}."


def markdown(cells: Sequence[Cell], repetitions: int) -> str:
    """The table as Markdown, with the reasons and the verdict."""
    lines = []
    for kind, members in _parts(cells):
        lines += [f"### {kind[0].upper()}{kind[1:]}", "", *([f"{_BARS[kind]}.", ""] if kind in _BARS else [])]
        numbers = _numbers(kind)
        lines += [_line(["of", "scores", *(f"n = {n}" for n in numbers)]), _line(["---", "---", *["---:"] * len(numbers)])]
        lines += [_line([of, truth, *(_shown(row.get(n)) for n in numbers)]) for (of, truth), row in rows_of(members).items()]
        lines += ["", *[line + "\n" for line in _reasons(members)]]
    return "\n".join([*lines, _LEGEND, "", verdict(cells, repetitions), ""])


def plain(cells: Iterable[Cell]) -> list[dict[str, Any]]:
    """The cells as JSON has them; None for what is not printed, or has no bar."""
    found = []
    for cell in cells:
        assert cell.found is not None, "a cell that was measured"
        low, high = (None if math.isnan(end) else end for end in (cell.low, cell.high))
        found.append(
            {
                "kind": cell.kind,
                "of": cell.of,
                "scores": cell.truth,
                "n": cell.n,
                "share": cell.found.share if cell.printed else None,
                "error": cell.found.error if cell.printed else None,
                "printed": min(1.0, cell.found.count / cell.found.of) if cell.kind in (COVERAGE, SEARCHES) else None,
                "why_not": "" if cell.printed else reason(cell),
                "low": low,
                "high": high,
                "judged": cell.judged,
                "missed": cell.missed,
            }
        )
    return found


def reason(cell: Cell) -> str:
    """Why nothing is printed, or "" where that is not known."""
    return next((words for name, words in REASONS.items() if cell.of.startswith(name)), "")


def rows_of(cells: Iterable[Cell]) -> dict[tuple[str, str], dict[int, Cell]]:
    """The cells by row and number of runs."""
    rows: dict[tuple[str, str], dict[int, Cell]] = {}
    for cell in cells:
        rows.setdefault((cell.of, cell.truth), {})[cell.n] = cell
    return rows


def _parts(cells: Sequence[Cell]) -> list[tuple[str, list[Cell]]]:
    return [(kind, [cell for cell in cells if cell.kind == kind]) for kind in dict.fromkeys(cell.kind for cell in cells)]


def _numbers(kind: str) -> tuple[int, ...]:
    return TRIALS if kind in OF_SEARCHES else RUNS


def _reasons(cells: Iterable[Cell]) -> list[str]:
    """A line for each kind of row with a number that is not printed."""
    open_ones = [cell for cell in cells if cell.found is not None and not cell.printed]
    found: dict[str, str] = {}
    for cell in open_ones:
        name = next((name for name in REASONS if cell.of.startswith(name)), cell.of)
        found[name] = reason(cell)
    return [f"{NOTHING} {name}: {words}." for name, words in found.items()]


def _line(values: Sequence[str]) -> str:
    return f"| {' | '.join(values)} |"


def _shown(cell: Cell | None) -> str:
    if cell is None or cell.found is None:
        return ""
    if not cell.printed:
        return NOTHING
    mark = "?" if not cell.judged else "!" if cell.failed else "+" if cell.missed == "above" else ""
    return f"{cell.found.share:.3f}{mark}"
