"""Figures for a paper: the same data as on the page, drawn with Matplotlib (extra `gatelab[plots]`)."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gatelab.analysis.comparison.table import compare
from gatelab.analysis.figures import (
    FIGURES,
    OVERALL,
    Axis,
    DrawnVariant,
    Figure,
    Panel,
    Problem,
    Series,
    figure,
    together,
)
from gatelab.analysis.figures.from_runs import read_problems
from gatelab.analysis.figures.looks import COLOURS, DASHES, SYMBOLS
from gatelab.analysis.reading.solving import TimeUnit
from gatelab.errors import UserError, unknown
from gatelab.runs import Run, Skipped
from gatelab.runs.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

FORMATS = ("pdf", "png", "svg")
_MARKERS = dict(zip(SYMBOLS, ("o", "s", "^", "D", "P", "*"), strict=True))
_COLUMN = 2.35  # inches: three panels are as wide as a page of text
_STYLE = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 8,
    "lines.linewidth": 1.2,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # letters stay letters
    "svg.fonttype": "none",
    "svg.hashsalt": "gatelab",  # the same data give the same file
}


def write_figure(
    runs: Iterable[Run], name: str, path: Path, task: str | None = None, level: float | None = None, unit: TimeUnit = "steps"
) -> list[Skipped]:
    """Draws one figure of all problems, one below the other, into a file.

    Args:
        runs: what `find_runs` found.
        name: of the figure, see `FIGURES`.
        path: its ending says the format.
        task: draw this task only.
        level, unit: from which score on a task counts as solved, and the unit of the time to that, as for `compare`.

    Returns:
        What was left out because it is damaged.

    Raises:
        UserError: an unknown figure, format or task; nothing that the figure needs was recorded; Matplotlib is missing, or the file
            cannot be written.
    """
    if name not in FIGURES:
        raise UserError(unknown("figure", name, FIGURES))
    check_ending(path)
    comparison = compare(runs, level=level, unit=unit)
    tasks = {row.task for row in comparison.rows}
    if task is not None and task not in tasks:
        raise UserError(unknown("task", task, tasks))
    problems, left_out = read_problems(comparison)
    drawn = [
        (problem, found)
        for problem in ([together(problems)] if FIGURES[name] in OVERALL and problems else problems)
        if problem.variants and task in (None, problem.scored.task) and (found := figure(name, problem)) is not None
    ]
    if not drawn:
        raise UserError(f"None of the runs recorded what the figure '{name}' needs. `gatelab report` draws what there is.")
    _save(drawn, path)
    return left_out


def check_ending(path: Path) -> None:
    """Raises a UserError if a file does not end as a format that can be written."""
    if path.suffix[1:] not in FORMATS:
        raise UserError(f"'{path}' must end with one of: {', '.join(f'.{ending}' for ending in FORMATS)}.")


@contextlib.contextmanager
def canvas_of(width: float, height: float) -> "Iterator[Canvas]":
    """An empty Matplotlib figure in our style, in inches.

    Raises:
        UserError: Matplotlib is missing.
    """
    try:
        import matplotlib as mpl
        from matplotlib.figure import Figure as Canvas
    except ImportError as error:
        raise UserError("Figures for papers need Matplotlib. Install it with: pip install 'gatelab[plots]'") from error
    with mpl.rc_context(_STYLE):  # type: ignore[arg-type] - its keys are a Literal
        yield Canvas(figsize=(width, height), layout="constrained")


def _save(drawn: Sequence[tuple[Problem, Figure]], path: Path) -> None:
    grids = [_grid(found) for _, found in drawn]
    heights = [_height(found) * rows for (_, found), (rows, _) in zip(drawn, grids, strict=True)]
    width = max(_COLUMN * max(columns, 2) * (1.4 if columns == 2 else 1) for _, columns in grids)
    with canvas_of(width, sum(heights) + 0.3 * len(drawn)) as canvas:
        parts = canvas.subfigures(len(drawn), 1, height_ratios=heights, squeeze=False).ravel()
        for part, (problem, found), (rows, columns) in zip(parts, drawn, grids, strict=True):
            axes = part.subplots(rows, columns, squeeze=False)
            if len(drawn) > 1:
                part.suptitle(literally(problem.title), fontweight="bold")
            places = _places(found, columns)
            for place in set(np.ndindex(rows, columns)) - set(places):
                axes[place].set_axis_off()
            images = [_draw(axes[place], found, panel, problem.variants) for place, panel in zip(places, found.panels, strict=True)]
            if found.kind == "heat":
                part.colorbar(images[0], ax=axes, label="mean activation", shrink=0.6)
            elif found.kind != "ranges":
                _legend(part, found, problem.variants)
        write_canvas(canvas, path)


def write_canvas(canvas: "Canvas", path: Path) -> None:
    """Writes a figure in the format that its ending says, to a temporary name, then renames.

    Raises:
        UserError: the file cannot be written.
    """
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(path.suffix[1:], {})
    try:
        with replacing(path) as temporary:
            canvas.savefig(temporary, dpi=300, metadata=undated)
    except OSError as error:
        raise UserError(f"The figure cannot be written to '{path}': {error.strerror or error}.") from error


def _grid(found: Figure) -> tuple[int, int]:
    """Rows and columns."""
    columns = found.columns or min(len(found.panels), 3)
    return _places(found, columns)[-1][0] + 1, columns


def _places(found: Figure, columns: int) -> list[tuple[int, int]]:
    """(row, column) of each panel: one after the other, or in the column it names and then not left of the one before."""
    places: list[tuple[int, int]] = []
    row, at = 0, -1
    for panel in found.panels:
        if panel.column is None:
            row, at = (row + 1, 0) if at + 1 == columns else (row, at + 1)
        else:
            row, at = (row + 1 if panel.column <= at else row), panel.column
        places.append((row, at))
    return places


def _height(found: Figure) -> float:
    """Inches of a row of panels."""
    if found.kind == "ranges":
        return 0.9 + 0.22 * max(len(panel.series) for panel in found.panels)
    return 1.3 if found.kind == "heat" else 2.1


def _draw(axes: "Axes", found: Figure, panel: Panel, variants: Sequence[DrawnVariant]) -> Any:
    axes.set_title(literally(panel.title), loc="left", pad=12 if found.kind == "ranges" and panel.levels else 4)
    _scale(axes, panel.x, "x")
    _scale(axes, panel.y, "y")
    if found.kind == "heat":
        return _heat(axes, panel)
    for series in panel.series:
        {"lines": _line, "steps": _steps, "dots": _dots, "ranges": _range}[found.kind](axes, series, variants[series.variant])
    for name, value in panel.levels.items():
        (axes.axvline if found.kind == "ranges" else axes.axhline)(value, color="0.5", linewidth=0.8, linestyle=":")
        if found.kind == "ranges":
            axes.text(
                value,
                1.01,
                literally(name),
                transform=axes.get_xaxis_transform(),
                ha="center",
                va="bottom",
                color="0.4",
                fontsize=6,
            )
        else:
            axes.text(
                0.99, value, literally(name), transform=axes.get_yaxis_transform(), ha="right", va="bottom", color="0.4", fontsize=6
            )
    if panel.diagonal:
        axes.plot([0, 1], [1, 0], color="0.6", linewidth=0.8, linestyle=":")
    if found.kind == "ranges":
        axes.set_ylim(len(panel.series) - 0.5, -0.5)
    return None


def _line(axes: "Axes", series: Series, variant: DrawnVariant) -> None:
    x, y = np.asarray(series.x, float), np.asarray(series.y, float)
    if series.low is not None and series.high is not None:
        axes.fill_between(
            x, np.asarray(series.low, float), np.asarray(series.high, float), color=COLOURS[variant.colour], alpha=0.15, lw=0
        )
    marker = _MARKERS[SYMBOLS[variant.symbol]] if x.size < 12 else ""
    axes.plot(x, y, color=COLOURS[variant.colour], linestyle=_dash(variant), marker=marker, markersize=3)


def _steps(axes: "Axes", series: Series, variant: DrawnVariant) -> None:
    x, y = np.asarray(series.x, float), np.asarray(series.y, float)
    colour = COLOURS[variant.colour]
    if series.low is not None and series.high is not None:
        low, high = np.asarray(series.low, float), np.asarray(series.high, float)
        axes.fill_between(x, low, high, color=colour, alpha=0.1, lw=0, step="post")
    axes.plot(x, y, color=colour, linestyle=_dash(variant), drawstyle="steps-post")
    if series.points is not None:
        marks = np.ravel(series.points)
        axes.plot(marks, y[np.searchsorted(x, marks, "right") - 1], linestyle="", marker="|", markersize=6, color=colour)


def _dots(axes: "Axes", series: Series, variant: DrawnVariant) -> None:
    x, y = np.asarray(series.x, float), np.asarray(series.y, float)
    if series.low is not None and series.high is not None:
        axes.vlines(
            x, np.asarray(series.low, float), np.asarray(series.high, float), color=COLOURS[variant.colour], alpha=0.4, lw=3
        )
    marker = _MARKERS[SYMBOLS[variant.symbol]]
    axes.plot(x, y, color=COLOURS[variant.colour], linestyle="", marker=marker, markersize=3 if x.size > 1 else 5, alpha=0.7)


def _range(axes: "Axes", series: Series, variant: DrawnVariant) -> None:
    place, colour = float(np.ravel(series.y)[0]), COLOURS[variant.colour]
    value = float(np.ravel(series.x)[0])
    if not np.isfinite(value):
        axes.text(0.02, place, literally(series.note), transform=axes.get_yaxis_transform(), va="center", color="0.4")
        return
    if series.low is not None and series.high is not None:
        axes.hlines(place, float(np.ravel(series.low)[0]), float(np.ravel(series.high)[0]), color=colour, alpha=0.4, linewidth=4)
    if series.points is not None:
        points = np.ravel(series.points)
        axes.plot(
            points, np.full(points.size, place), linestyle="", marker="o", markersize=2.5, markerfacecolor="white", color=colour
        )
    axes.plot(value, place, marker=_MARKERS[SYMBOLS[variant.symbol]], markersize=5, color=colour)


def _heat(axes: "Axes", panel: Panel) -> Any:
    x, z = np.asarray(panel.series[0].x, float), np.asarray(panel.z, float)
    half = (x[-1] - x[0]) / (x.size - 1) / 2 if x.size > 1 else 0.5
    ends = (x[0] - half, x[-1] + half, -0.5, len(z) - 0.5)
    image = axes.imshow(z, cmap="cividis", vmin=0, vmax=1, aspect="auto", origin="lower", interpolation="nearest", extent=ends)
    if panel.y.categories is None:
        axes.set_yticks([])
    return image


def _scale(axes: "Axes", axis: Axis, which: str) -> None:
    getattr(axes, f"set_{which}label")(literally(axis.label))
    if axis.categories is not None:
        getattr(axes, f"set_{which}ticks")(range(len(axis.categories)), [literally(word) for word in axis.categories])
    elif axis.log:
        _logarithmic(axes, which)
    elif axis.domain is not None:
        low, high = axis.domain
        getattr(axes, f"set_{which}lim")(low - 0.02 * (high - low), high + 0.02 * (high - low))


def _logarithmic(axes: "Axes", which: str) -> None:
    """Powers of ten, and over few decades 2 and 5 between them, written as on the page."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    getattr(axes, f"set_{which}scale")("log", nonpositive="clip")
    own = getattr(axes, f"{which}axis")
    own.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=5) if which == "x" else LogLocator())
    if which == "x":
        own.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    own.set_minor_formatter(NullFormatter())


def _legend(part: Any, found: Figure, variants: Sequence[DrawnVariant]) -> None:
    from matplotlib.lines import Line2D

    drawn = sorted({series.variant for panel in found.panels for series in panel.series})
    handles = [
        Line2D(
            [],
            [],
            color=COLOURS[variants[number].colour],
            linestyle=_dash(variants[number]) if found.kind in ("lines", "steps") else "",
            marker="" if found.kind == "steps" else _MARKERS[SYMBOLS[variants[number].symbol]],
            markersize=3.5,
            label=literally(variants[number].name),
        )
        for number in drawn
    ]
    part.legend(handles=handles, loc="outside lower center", ncols=min(len(handles), 5))


def _dash(variant: DrawnVariant) -> Any:
    strokes = [float(number) for number in DASHES[variant.dash].split()]
    return (0, tuple(stroke / 2 for stroke in strokes)) if strokes else "-"


def literally(text: str) -> str:
    """Text that Matplotlib shows as it is: between dollars it reads mathematics."""
    return text.replace("$", r"\$")
