"""What a figure is: panels of numbers and the words around them. Neither HTML nor Matplotlib: page and paper draw the same."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from gatelab.analysis.comparison.table import Row
from gatelab.analysis.reading.option_values import OptionValues
from gatelab.analysis.reading.series import Recorded

_FEW = 10
Kind = Literal["lines", "steps", "dots", "ranges", "heat"]  # steps: lines that keep their value until the next point


@dataclass(frozen=True)
class DrawnVariant:
    """One variant as it is drawn.

    Attributes:
        name: what the reader knows it by: the cell, and the options that set it apart.
        recorded: of all its runs; `learnt`: of those that have learnt their task, for sentences. `at_chance`: how many
            finished or diverged runs have not.
        options: those options by their short names, "hidden_size" to "128".
        colour, symbol: indices into `looks.COLOURS` and `looks.SYMBOLS`, those of the cell; `dash`: into `looks.DASHES`.
    """

    row: Row
    recorded: Recorded
    learnt: Recorded
    at_chance: int
    name: str
    options: OptionValues
    colour: int
    symbol: int
    dash: int

    @property
    def shown(self) -> Recorded:
        """What pictures of the inside of a trained model show: the runs that have learnt their task, or where none has, all."""
        return self.learnt if self.learnt.runs else self.recorded

    @property
    def is_at_chance(self) -> bool:
        """Whether none of its runs with a result has learnt its task."""
        return bool(self.at_chance) and not self.learnt.runs

    @property
    def config(self) -> dict[str, str]:
        """Its configuration, dotted keys to values as text."""
        return self.row.variant.config


@dataclass(frozen=True)
class Problem:
    """What is compared with each other, and drawn together.

    Attributes:
        title: the task and what sets it apart.
        variants: those that are drawn, the best first.
        hidden: names of those that are not drawn, because there are too few line styles.
        rows: of all of them, drawn or not.
        together: how many problems are drawn in all: sentences on them are one family of tests.
    """

    number: int
    title: str
    variants: list[DrawnVariant]
    hidden: list[str]
    rows: list[Row]
    together: int = 1

    @property
    def scored(self) -> Row:
        """A row that knows metric and levels; any if no run has finished."""
        return next((row for row in self.rows if row.n), self.rows[0])

    @property
    def one_per_cell(self) -> list[int]:
        """The best variant of each cell, as indices: pictures that need a panel for each are drawn of these."""
        seen: dict[str, int] = {}
        for number, variant in enumerate(self.variants):
            seen.setdefault(variant.row.cell, number)
        return list(seen.values())

    @property
    def few(self) -> list[int]:
        """As many variants as a list can name: all, or the best of each cell."""
        return list(range(len(self.variants))) if len(self.variants) <= _FEW else self.one_per_cell

    @property
    def of_few(self) -> str:
        """What a caption says of it."""
        return "" if len(self.variants) <= _FEW else " The best variant of each cell."

    @property
    def of_learnt(self) -> str:
        """What a caption says of the runs that are shown; "" where these are all."""
        if all(variant.shown.runs == variant.recorded.runs for variant in self.variants):
            return ""
        return " Shown are the runs that have learnt the task; of a variant at chance, all of them."


@dataclass(frozen=True)
class Axis:
    """Attributes:
    label: what is measured, with its unit.
    domain: ends of the axis, where they are not those of the data.
    categories: the values are indices into these words.
    """

    label: str
    log: bool = False
    domain: tuple[float, float] | None = None
    categories: Sequence[str] | None = None


@dataclass(frozen=True)
class Series:
    """Numbers of one variant.

    Attributes:
        variant: index into the problem's variants.
        x, y: (K,).
        low, high: (K,), the band about y, or of `ranges` the interval about x.
        points: single values beside an interval, one a seed; of `steps` the x of what is marked on the line.
        note: said in words at the line.
    """

    variant: int
    x: ArrayLike
    y: ArrayLike
    low: ArrayLike | None = None
    high: ArrayLike | None = None
    points: ArrayLike | None = None
    note: str = ""


@dataclass(frozen=True)
class Panel:
    """One pair of axes.

    Attributes:
        levels: marked values by name, such as chance: of y, or of `ranges` of x.
        diagonal: draw x + y = 1, which bounds two shares.
        z: of `heat` (rows, columns); columns are at the x of the only series, rows at its y.
        column: where the panel stands among `Figure.columns`.
    """

    title: str
    x: Axis
    y: Axis
    series: list[Series]
    levels: dict[str, float] = field(default_factory=dict)
    diagonal: bool = False
    z: ArrayLike | None = None
    column: int | None = None


@dataclass(frozen=True)
class Figure:
    """Attributes:
    name: what `gatelab plot --figure` knows it by.
    caption: what is seen, how it was computed.
    wide: a single panel takes the whole width of the page.
    columns: how many panels stand side by side; None: as many as there is room for.
    """

    name: str
    title: str
    caption: str
    kind: Kind
    panels: list[Panel]
    wide: bool = False
    columns: int | None = None


def plain(figure: Figure) -> dict[str, Any]:
    """The figure as JSON has it; what is not a finite number becomes null."""
    return {
        "name": figure.name,
        "title": figure.title,
        "kind": figure.kind,
        "wide": figure.wide,
        "columns": figure.columns,
        "panels": [
            {
                "title": panel.title,
                "x": _axis(panel.x),
                "y": _axis(panel.y),
                "series": [_series(series) for series in panel.series],
                "levels": [[name, value] for name, value in panel.levels.items() if math.isfinite(value)],
                "diagonal": panel.diagonal,
                "column": panel.column,
                "z": None if panel.z is None else [numbers(row) for row in np.asarray(panel.z)],
            }
            for panel in figure.panels
        ],
    }


def numbers(values: ArrayLike, digits: int = 4) -> list[float | int | None]:
    """Rounded to so many significant digits, as charts need no more; integers stay whole."""
    array = np.asarray(values)
    if array.dtype.kind in "iu":
        return array.tolist()
    return [_rounded(float(value), digits) for value in array.ravel()]


def _rounded(value: float, digits: int) -> float | int | None:
    if not math.isfinite(value):
        return None
    short = float(f"{value:.{digits}g}")
    return int(short) if short.is_integer() and abs(short) < 1e15 else short


def _axis(axis: Axis) -> dict[str, Any]:
    return {"label": axis.label, "log": axis.log, "domain": axis.domain, "categories": axis.categories}


def _series(series: Series) -> dict[str, Any]:
    optional = {key: getattr(series, key) for key in ("low", "high", "points")}
    said = {"variant": series.variant, "x": numbers(series.x), "y": numbers(series.y)}
    said |= {key: numbers(values) for key, values in optional.items() if values is not None}
    return said | ({"note": series.note} if series.note else {})


def spans(values: Iterable[ArrayLike], factor: float = 30) -> bool:
    """Whether positive values span so much that a linear axis would hide the small ones."""
    flat = [np.asarray(value, dtype=float).ravel() for value in values]
    every = np.concatenate(flat) if flat else np.empty(0)
    every = every[np.isfinite(every)]
    return bool(every.size and every.min() > 0 and every.max() > factor * every.min())
