"""The simulation that shows what the statistics promise, and its table."""

import io
import json
import math

import numpy as np
import pytest

from gatelab.analysis.calibration import measured
from gatelab.analysis.calibration.checks import COVERAGE, ERRORS, POWER, RUNS, Cell, jobs, measured_cells
from gatelab.analysis.calibration.measured import Measured
from gatelab.analysis.calibration.recorded import cifg_against_lstm
from gatelab.analysis.calibration.terminal import plain, print_calibration
from gatelab.analysis.calibration.truths import BIMODAL, BUDGET, LOGNORMAL, NORMAL, SATURATED, true_mean, true_median, true_share
from gatelab.process.console import Console


def cell(share: float, count: float = 1000, kind: str = COVERAGE, judged: bool = True, n: int = 5) -> Cell:
    low, high = (0.93, 0.98) if kind == COVERAGE else (math.nan, 0.06)
    return Cell(kind, "mean", "normal", n, low, high, judged, Measured(share, count, 1000))


def test_a_bar_is_missed_by_two_standard_errors():
    error = math.sqrt(0.92 * 0.08 / 1000)
    assert cell(0.92).found == Measured(0.92, 1000, 1000)
    assert (cell(0.93 - 1.9 * error).missed, cell(0.90).missed, cell(0.999).missed) == ("", "below", "above")
    assert [cell(share).failed for share in (0.95, 0.90, 0.999)] == [False, True, False]
    assert [cell(share, kind=ERRORS).failed for share in (0.05, 0.065, 0.1)] == [False, False, True]
    assert not cell(0.5, judged=False).failed
    assert (cell(0.5, count=10).printed, cell(0.5, count=10).failed) == (
        False,
        False,
    )  # ten intervals of a thousand are an accident


def test_truths_are_what_their_names_say():
    assert true_mean(NORMAL) == pytest.approx(0.7, abs=0.001)
    assert true_mean(LOGNORMAL) == pytest.approx(0.01, rel=0.01)
    assert true_median(SATURATED) == 1.0
    assert [true_share(truth) for truth in BIMODAL] == pytest.approx([0.5, 0.67, 0.9], abs=0.01)


def test_all_that_is_printed_is_measured_for_all_numbers_of_runs():
    cells = [cell for job in jobs() for cell in job.cells]
    names = {cell.of for cell in cells if cell.kind == COVERAGE}
    assert names >= {"mean", "median", "share solved", "time to solve", "difference, Dunnett", "difference, ranks", "P(better)"}
    assert {cell.n for cell in cells} == set(RUNS)
    tested = {(cell.of.split(",")[0], cell.of.split(", ", 1)[1]) for cell in cells if cell.kind == ERRORS}
    variants = {f"{variants} variants, {tasks}" for variants in (5, 10) for tasks in ("1 task", "10 tasks")}
    assert tested == {(test, words) for test in ("Dunnett", "ranks", "log-rank") for words in variants}


def test_no_label_is_cut_off_in_a_terminal():
    for kind in (COVERAGE, ERRORS, POWER):
        cells = [cell for job in jobs() for cell in job.cells if cell.kind == kind]
        assert max(len(cell.of) for cell in cells) + max(len(cell.truth) for cell in cells) + 3 * 6 + 4 * 2 <= 80


def test_an_exact_share_covers_what_it_promises():
    assert measured.share_solved(0.5, 10).share == pytest.approx(1 - 22 / 1024)  # all but 0, 1, 9 and 10 of ten
    assert measured.share_solved(0.5, 5).share == pytest.approx(1.0)


def test_recorded_runs_are_compared_as_the_demo_compares_them():
    family = cifg_against_lstm(np.random.default_rng(0))
    assert (len(family.variants), family.until, family.on_time) == (4, BUDGET, True)
    assert measured.power(cifg_against_lstm, 20, np.random.default_rng(1)).share == 1.0


def test_the_table_fits_a_terminal_and_json():
    cells = [cell(0.951), cell(0.9, n=3), cell(0.04, kind=ERRORS), cell(0.5, count=0, n=10)]
    console = Console(width=80, file=io.StringIO(), color_system=None)
    print_calibration(cells, 1000, console)
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, text.splitlines())) <= 80
    assert "0.951" in text
    assert "all bars are met" not in text
    assert "1 of them miss" in text
    (first, *_, last) = json.loads(json.dumps(plain(cells), allow_nan=False))
    assert (first["share"], first["low"], first["missed"]) == (0.951, 0.93, "")
    assert (last["share"], last["printed"]) == (None, 0.0)


@pytest.mark.slow  # a simulation
def test_the_table_of_five_runs_within_wide_bounds():
    """Thirty repetitions each, always the same: five standard errors from a bar is not chance among some 100 numbers."""
    kinds = set()
    for number, job in enumerate(jobs()):
        if job.cells[0].n == 5:
            for cell in measured_cells(number, 30):
                kinds.add(cell.kind)
                assert cell.found is not None
                if cell.judged and cell.printed:
                    slack = 5 * cell.found.error
                    assert not cell.found.share + slack < cell.low, cell
                    if cell.kind == ERRORS:
                        assert not cell.found.share - slack > cell.high, cell
    assert kinds == {COVERAGE, ERRORS, POWER}
