"""Half a sentence on each cell, for readers who do not know them."""

from collections.abc import Iterable

from gatelab.analysis.comparison.row import Row


def introductions(rows: Iterable[Row]) -> dict[str, str]:
    """Cells with what their docstrings say of them, in the order of their names; without those of which no run noted anything."""
    found = {row.cell: row.about.cell for row in rows if row.about.cell}
    return dict(sorted(found.items()))
