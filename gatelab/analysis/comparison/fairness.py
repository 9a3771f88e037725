"""What rows share besides their task, and what they do not: sizes, in sentences beside the table."""

from collections.abc import Sequence

from gatelab.analysis.comparison.table import Row
from gatelab.runs.matched import matched_sentences

LARGEST_RATIO = 1.05  # of parameters between two variants that need no word


def fairness_notes(rows: Sequence[Row]) -> list[str]:
    """On the rows of one problem: how they were matched, or that they were not although their sizes differ."""
    notes = matched_sentences((row.cell, row.matched) for row in rows if row.matched is not None)
    counts = [row.parameters for row in rows if row.parameters is not None]
    units = {row.variant.config.get("model.hidden_size") for row in rows if row.parameters is not None}
    unmatched = all(row.matched is None for row in rows)
    if unmatched and len(units) == 1 and counts and max(counts) > LARGEST_RATIO * min(counts):
        notes.append(
            f"Compared at equal hidden size, not at equal size: params {min(counts):,} to {max(counts):,}; "
            "model.match=parameters matches them."
        )
    return notes
