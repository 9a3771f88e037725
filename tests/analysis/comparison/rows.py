"""From a folder to rows and to what is printed of them."""

import io
from pathlib import Path
from typing import Any

from gatelab.analysis.comparison.solving import Solving
from gatelab.analysis.comparison.table import Comparison, Row, compare
from gatelab.analysis.comparison.terminal import print_table
from gatelab.analysis.statistics.differences import Difference
from gatelab.process.console import Console
from gatelab.runs import find_runs


def compared(folder: Path, baseline: str | None = None) -> Comparison:
    return compare(find_runs([folder])[0], baseline)


def only(rows: list[Row], **fields: Any) -> Row:
    """The one row with these fields."""
    found = [row for row in rows if all(getattr(row, key) == value for key, value in fields.items())]
    assert len(found) == 1, fields
    return found[0]


def difference_of(row: Row) -> Difference:
    """The difference of a row that was compared with a baseline."""
    assert row.difference is not None
    return row.difference


def solving_of(row: Row) -> Solving:
    """Who of the runs of a row solves the task, and when."""
    assert row.solving is not None
    return row.solving


def printed(rows: list[Row], width: int = 100, **options: Any) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    print_table(rows, console, **options)
    return console.file.getvalue()  # type: ignore[attr-defined]
