"""What rows share besides their task, and what they do not: sizes and tuning budgets, in sentences beside the table."""

from collections.abc import Sequence

from gatelab.analysis.comparison.row import Row
from gatelab.runs.matched import matched_sentences

LARGEST_RATIO = 1.05  # of parameters between two variants that need no word
TUNED = 5  # settings of a cell from which on it counts as tuned


def fairness_notes(rows: Sequence[Row]) -> list[str]:
    """On the rows of one problem.

    How they were matched, or that they were not although their sizes differ by more than 5%; and how many settings of each cell
    were tried, where one was tuned and the numbers differ.
    """
    notes = matched_sentences((row.cell, row.matched) for row in rows if row.matched is not None)
    return [*notes, *_sizes([row for row in rows if row.parameters is not None]), *_budgets(rows)]


def _sizes(rows: Sequence[Row]) -> list[str]:
    shapes = {tuple((key, value) for key, value in row.variant.config.items() if key.startswith("model.")) for row in rows}
    counts = [row.parameters for row in rows if row.parameters is not None]
    if any(row.matched is not None for row in rows) or len(shapes) != 1 or max(counts) <= LARGEST_RATIO * min(counts):
        return []
    return [
        f"Compared at equal hidden size, not at equal size: params {min(counts):,} to {max(counts):,}; "
        "model.match=parameters matches them."
    ]


def _budgets(rows: Sequence[Row]) -> list[str]:
    tried = {row.cell: row.tried for row in rows}
    if len({*tried.values()}) < 2 or max(tried.values()) < TUNED:
        return []
    listed = ", ".join(f"{cell} {count}" for cell, count in sorted(tried.items(), key=lambda item: (-item[1], item[0])))
    return [f"Tuning budgets differ (settings tried): {listed}; the best of more settings is better by chance alone."]
