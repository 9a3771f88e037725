"""The table of a calibration: as text for a terminal, and as plain containers."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from gatelab.analysis.calibration.checks import COVERAGE, ERRORS, RUNS, Cell
from gatelab.analysis.comparison.numbers import NOTHING
from gatelab.process.console import Console

_BARS = {
    COVERAGE: "bar: .93 to .98 for 5 and 10 runs, .90 and more for 3",
    ERRORS: "bar: .06 and less; the baseline is one of the variants",
}
_LEGEND = (
    "n: runs of each variant. –: not printed for so few runs. !: the bar is missed by more than two standard errors of the "
    "simulation. +: an interval covers more than it has to; exact intervals of counts and of ties cannot do otherwise. ?: not "
    "judged: scores that do not scatter as their task declares, which few runs cannot show."
)


def print_calibration(cells: Sequence[Cell], repetitions: int, console: Console) -> None:
    """Prints what was measured, a line for each statistic and truth.

    Args:
        cells: of all jobs.
        repetitions: of each simulation, for the title.
        console: where to.
    """
    for kind in dict.fromkeys(cell.kind for cell in cells):
        console.print(Text.assemble((kind, "bold"), f"  {_BARS.get(kind, f'{repetitions:,} repetitions')}"))
        table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
        for heading in ("of", "scores", *(f"n = {n}" for n in RUNS)):
            table.add_column(heading, no_wrap=True)
        for (of, truth), row in _rows(cell for cell in cells if cell.kind == kind).items():
            table.add_row(of, truth, *(_shown(row.get(n)) for n in RUNS))
        console.print(table, crop=False)
        console.print()
    failed = sum(cell.failed for cell in cells)
    console.print(Text(_LEGEND), style="dim")
    verdict = f"{failed} of them miss their bar" if failed else "all bars are met"
    console.print(Text(f"{len(cells)} numbers from {repetitions:,} repetitions: {verdict}."))


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
                "printed": min(1.0, cell.found.count / cell.found.of) if cell.kind == COVERAGE else None,
                "low": low,
                "high": high,
                "judged": cell.judged,
                "missed": cell.missed,
            }
        )
    return found


def _rows(cells: Iterable[Cell]) -> dict[tuple[str, str], dict[int, Cell]]:
    rows: dict[tuple[str, str], dict[int, Cell]] = {}
    for cell in cells:
        rows.setdefault((cell.of, cell.truth), {})[cell.n] = cell
    return rows


def _shown(cell: Cell | None) -> str:
    if cell is None or cell.found is None:
        return ""
    if not cell.printed:
        return NOTHING
    mark = "?" if not cell.judged else "!" if cell.failed else "+" if cell.missed == "above" else ""
    return f"{cell.found.share:.3f}{mark}"
