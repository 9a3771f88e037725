"""Figures from arrays, as Plotly's plain dictionaries: no files, no HTML. Fonts and theme belong to the page (`report.js`)."""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gatelab.analysis.series import Curve

# Okabe & Ito (2008), told apart by colour-blind readers; grey for their black, which a dark page hides; yellow last, the palest.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#999999", "#F0E442")
SYMBOLS = ("", "circle", "square", "diamond", "cross", "triangle-up")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

Figure = dict[str, Any]


@dataclass(frozen=True)
class Line:
    """One configuration in a chart.

    Attributes:
        key: what the page's legend knows it by.
        name: what the reader knows it by; plain text, escaped here.
        colour, symbol: those of the cell, the same in all charts; `dash`: that of its options.
    """

    key: str
    name: str
    colour: str
    symbol: str
    dash: str


def cell_styles(cells: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour and symbol of each cell: eight colours, then the same eight with another symbol."""
    names = sorted(set(cells))
    return {name: (COLOURS[rank % len(COLOURS)], SYMBOLS[rank // len(COLOURS) % len(SYMBOLS)]) for rank, name in enumerate(names)}


def training_figure(
    curves: Sequence[tuple[Line, Curve]],
    title: str,
    levels: Mapping[str, float] | None = None,
    log: bool = False,
    unit_range: bool = False,
) -> Figure:
    """A quantity over training: for each configuration the mean, and a band from the smallest to the largest seed.

    Where not all seeds have come so far, the line is thin.

    Args:
        curves: configurations and what they recorded.
        title: of the y axis, with the unit where there is one.
        levels: horizontal lines by name, such as chance.
        log: logarithmic y axis.
        unit_range: the y axis is [0, 1].
    """
    opacity = 0.15 if len(curves) <= 6 else 0.08  # many bands lie over each other
    bands = [_band(line, curve, log, opacity) for line, curve in curves]
    lines = [trace for line, curve in curves for trace in _mean(line, curve)]
    last = max((int(curve.steps[-1]) for _, curve in curves if curve.steps.size), default=1)
    drawn = [_level(name, value, last) for name, value in (levels or {}).items() if np.isfinite(value) and (value > 0 or not log)]
    yaxis = {"title": {"text": html.escape(title)}, "type": "log" if log else "linear"}
    if unit_range:
        yaxis["range"] = [-0.02, 1.02]
    return {
        "data": [band for band in bands if band] + drawn + lines,
        "layout": {"xaxis": {"title": {"text": "optimiser steps"}, "rangemode": "tozero"}, "yaxis": yaxis},
    }


def density_figure(densities: Sequence[tuple[Line, NDArray[np.float64]]]) -> Figure:
    """The distribution of gate activations: for each configuration a density (bins,) in equal bins over [0, 1]."""
    data = []
    for line, values in densities:
        edges = np.linspace(0, 1, values.size + 1)
        trace = _trace(line, edges, np.append(values, values[-1]))
        trace["line"]["shape"] = "hv"
        data.append(trace)
    return {
        "data": data,
        "layout": {
            "xaxis": {"title": {"text": "activation"}, "range": [-0.02, 1.02]},
            "yaxis": {"title": {"text": "density"}, "rangemode": "tozero"},
        },
    }


def wants_log(curves: Iterable[Curve]) -> bool:
    """Whether positive values span so much that a linear axis would hide the small ones: a factor of 30."""
    means = np.concatenate([curve.mean for curve in curves] or [np.empty(0)])
    means = means[np.isfinite(means)]
    return bool(means.size and means.min() > 0 and means.max() > 30 * means.min())


def _mean(line: Line, curve: Curve) -> list[dict[str, Any]]:
    """The mean as one trace, or as two where it stands for all seeds and where it does not."""
    if not curve.steps.size:
        return []
    whole = curve.n == curve.n.max()
    parts = [(whole, 2.0)]
    if not whole.all():
        # The thin part begins where the whole one ends, so that the line does not break.
        thin = ~whole | np.append(~whole[1:], False)
        parts.append((thin, 1.0))
    traces = []
    for part, width in parts:
        trace = _trace(line, curve.steps[part], curve.mean[part])
        trace["line"]["width"] = width
        trace["customdata"] = _array(curve.n[part])
        trace["hovertemplate"] = "%{y:.4g} at step %{x}, n = %{customdata}<extra>%{fullData.name}</extra>"
        traces.append(trace)
    return traces


def _trace(line: Line, x: ArrayLike, y: ArrayLike) -> dict[str, Any]:
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "x": _array(x),
        "y": _array(y),
        "name": html.escape(line.name),
        "meta": line.key,
        "line": {"color": line.colour, "dash": line.dash, "width": 2.0},
        "hovertemplate": "%{y:.4g} at %{x:.3g}<extra>%{fullData.name}</extra>",
    }
    if line.symbol or np.size(x) == 1:  # a line of one point shows nothing
        marker = {"symbol": line.symbol or "circle", "size": 7, "maxdisplayed": 8, "color": line.colour}
        trace |= {"mode": "lines+markers", "marker": marker}
    return trace


def _band(line: Line, curve: Curve, log: bool, opacity: float) -> dict[str, Any] | None:
    """The area between the smallest and the largest seed."""
    drawn = np.isfinite(curve.low) & np.isfinite(curve.high) & (curve.high > curve.low)
    if log:
        drawn &= curve.low > 0
    if drawn.sum() < 2:
        return None
    steps = curve.steps[drawn]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": _array(np.concatenate([steps, steps[::-1]])),
        "y": _array(np.concatenate([curve.low[drawn], curve.high[drawn][::-1]])),
        "meta": line.key,
        "line": {"width": 0, "color": line.colour},
        "fill": "toself",
        "fillcolor": f"{line.colour}{round(255 * opacity):02x}",
        "hoverinfo": "skip",
    }


def _level(name: str, value: float, last: int) -> dict[str, Any]:
    """A named horizontal line. It is a trace, not a shape, so that the axis makes room for it."""
    return {
        "type": "scatter",
        "mode": "lines+text",
        "x": [0, last],
        "y": [value, value],
        "text": ["", f"{html.escape(name)} {value:.4g}"],
        "textposition": "top left",
        "line": {"width": 1, "dash": "dot"},
        "hoverinfo": "skip",
    }


def _array(values: ArrayLike) -> dict[str, str]:
    """Numbers as Plotly's typed array: a third of the size of text, and nan (a gap) has no other form."""
    array = np.asarray(values)
    kind = "i4" if array.dtype.kind == "i" else "f4"
    with np.errstate(over="ignore"):  # beyond float32 is a gap
        return {"dtype": kind, "bdata": base64.b64encode(array.astype(f"<{kind}").tobytes()).decode()}
