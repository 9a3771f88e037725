"""One-line curves, read back."""

from pathlib import Path

import numpy as np

from gatelab.analysis.comparison.sparklines import sparklines, validation_curves
from gatelab.analysis.comparison.table import compare
from gatelab.analysis.reading.series import over_seeds
from gatelab.runs import find_runs


def line(*series, width: int = 8) -> list[str]:
    return sparklines([over_seeds([one]) for one in series], width)


def test_a_straight_line():
    steps = list(range(1, 9))
    assert line((steps, [float(step) for step in steps])) == ["▁▂▃▄▅▆▇█"]
    assert line((steps, [-float(step) for step in steps])) == ["█▇▆▅▄▃▂▁"]


def test_all_lines_share_their_axes():
    assert line(([4, 8], [0.0, 1.0]), ([4], [0.5]), ([8], [0.0])) == ["   ▁▁▁▁█", "   ▅", "       ▁"]


def test_a_factor_of_ten_makes_it_logarithmic():
    assert line(([1, 2, 3], [1.0, 10.0, 100.0]), width=3) == ["▁▅█"]
    assert line(([1, 2, 3], [0.0, 10.0, 100.0]), width=3) == ["▁▁█"]


def test_what_is_not_there():
    assert line(([], [])) == [""]
    assert line(([1, 2], [float("nan"), float("inf")])) == [""]
    assert line(([1, 2, 3], [0.0, float("nan"), 1.0]), width=3) == ["▁▁█"]
    assert line(([1, 2], [3.0, 3.0]), width=2) == ["▅▅"]  # a constant
    assert sparklines([]) == []


def test_curves_of_a_folder(messy: Path):
    result = compare(find_runs([messy])[0])
    curves = validation_curves(result.rows)
    assert len(curves) == len(result.rows)
    copying = next(curve for curve, row in zip(curves, result.rows, strict=True) if (row.cell, row.task) == ("gru", "copying"))
    assert copying.steps.tolist() == [50, 100, 150, 200]
    assert np.isclose(copying.mean[-1], 0.61)  # of the three that came so far
