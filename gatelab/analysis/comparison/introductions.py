"""Half a sentence on each cell, for readers who do not know them."""

import re
from collections.abc import Iterable

from gatelab.analysis.comparison.row import Row


def introductions(rows: Iterable[Row]) -> dict[str, str]:
    """Cells with what their docstrings say of them, in the order of their names; without those of which no run noted anything."""
    found = {row.cell: row.about.cell for row in rows if row.about.cell}
    return dict(sorted(found.items()))


def shortened(words: str, width: int) -> str:
    """The words, or where they are too long those up to the end of a clause, or else of a word, that leaves room for "…"."""
    if len(words) <= width:
        return words
    ends = [match.start() for match in re.finditer(r"[,:;] | [^ ]", words) if match.start() <= width - 2]
    clauses = [end for end in ends if words[end] in ",:;"]
    return f"{words[: max(clauses or ends or [width - 2])]} …"
