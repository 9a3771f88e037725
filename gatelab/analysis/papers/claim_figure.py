"""One picture of what was measured for a paper: a panel for each claim, with runs, means, intervals and the level asked for."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gatelab.analysis.figures.looks import COLOURS
from gatelab.analysis.figures.mpl import canvas_of, check_ending, literally, write_canvas
from gatelab.analysis.papers.claims import FAILS, HOLDS, UNDECIDED, typical

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOUR = {HOLDS: COLOURS[0], FAILS: COLOURS[1], UNDECIDED: COLOURS[6]}
_COLUMNS = 2
_WIDTH = 3.5  # inches of a panel


def write_claim_figure(record: Mapping[str, Any], path: Path) -> None:
    """Draws the claims of a result.

    Args:
        record: what `reproduction.as_record` made of a paper.
        path: its ending says the format.

    Raises:
        UserError: an unknown format, Matplotlib is missing, or the file cannot be written.
    """
    check_ending(path)
    claims = record["claims"]
    rows = -(-len(claims) // _COLUMNS)
    tallest = [max(len(claim["values"]) for claim in claims[row * _COLUMNS : (row + 1) * _COLUMNS]) for row in range(rows)]
    heights = [0.95 + 0.22 * arms for arms in tallest]
    with canvas_of(_WIDTH * _COLUMNS, sum(heights)) as canvas:
        axes = canvas.subplots(rows, _COLUMNS, squeeze=False, height_ratios=heights)
        longest = max(len(arm) for claim in claims for arm in claim["values"])
        characters = int(
            (_WIDTH * 72 - 10 - 4.5 * longest) / 3.7
        )  # points of a panel, of a letter at an axis and of one in a title
        for place, own in enumerate(axes.ravel()):
            if place < len(claims):
                _draw(own, claims[place], characters)
            else:
                own.set_axis_off()
        write_canvas(canvas, path)


def _draw(axes: "Axes", claim: Mapping[str, Any], characters: int) -> None:
    colour = _COLOUR[claim["verdict"]]
    statement = textwrap.fill(f"{claim['statement']}: {claim['verdict']}", characters)
    axes.set_title(literally(statement), loc="left", color=colour, fontsize=7)
    axes.set_xlabel(literally(claim["quantity"]))
    axes.set_yticks(range(len(claim["values"])), [literally(arm) for arm in claim["values"]])
    axes.set_ylim(len(claim["values"]) - 0.5, -0.5)
    for row, values in enumerate(claim["values"].values()):
        values = [float(value) for value in values]
        middle, low, high = typical(values, claim["kind"])
        if low is not None and high is not None:
            axes.hlines(row, low, high, color=colour, alpha=0.4, linewidth=4)
        axes.plot(values, [row] * len(values), linestyle="", marker="o", markersize=2.5, markerfacecolor="white", color=colour)
        axes.plot(middle, row, marker="o", markersize=4, color=colour)
    level = _level(claim)
    if level is not None:
        axes.axvline(level, color="0.5", linewidth=0.8, linestyle=":")


def _level(claim: Mapping[str, Any]) -> float | None:
    """Where the first arm has to be beyond; None of claims without one such place."""
    if claim["comparison"] in ("above", "below"):
        return claim["margin"]
    if claim["comparison"] not in ("better", "not_worse"):
        return None
    second = float(list(claim["typical"].values())[1])
    if claim["kind"] == "time":
        return second / claim["margin"] if claim["comparison"] == "better" else second * claim["margin"]
    towards = claim["margin"] if claim["comparison"] == "better" else -claim["margin"]
    return second + (towards if claim["higher_is_better"] else -towards)
