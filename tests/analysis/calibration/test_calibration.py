"""The simulation that shows what the statistics promise, and its table."""

import dataclasses
import io
import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from gatelab.analysis.calibration import families, measured
from gatelab.analysis.calibration.cells import COVERAGE, ERRORS, HOLDS, LOOKS, PARTS, RUNS, TRIALS, Cell
from gatelab.analysis.calibration.checks import jobs, measured_cells
from gatelab.analysis.calibration.measured import Measured
from gatelab.analysis.calibration.recorded import cifg_against_lstm
from gatelab.analysis.calibration.terminal import REASONS, markdown, plain, print_calibration, rows_of
from gatelab.analysis.calibration.truths import BIMODAL, BUDGET, LOGNORMAL, NORMAL, SATURATED, true_mean, true_median, true_share
from gatelab.analysis.papers.claims import COMPARISONS
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
    assert names >= {"time ratio", "median time", "curve solved", "effect size", "IQM over 2 tasks", "difference, --paired"}
    assert {cell.n for cell in cells if cell.kind not in PARTS["searches"]} == set(RUNS)
    assert {cell.n for cell in cells if cell.kind in PARTS["searches"]} == set(TRIALS)
    tested = {tuple(cell.of.split(", ", 1)) for cell in cells if cell.kind == ERRORS and "variants," in cell.of}
    variants = {f"{variants} variants, {tasks}" for variants in (5, 10) for tasks in ("1 task", "10 tasks")}
    assert tested >= {(test, words) for test in ("Dunnett", "ranks", "log-rank") for words in variants}


@pytest.mark.parametrize("kind", [HOLDS, LOOKS])
def test_every_comparison_of_claims_is_at_its_margin_for_every_kind_of_values(kind: str):
    cells = [cell for job in jobs() for cell in job.cells if cell.kind == kind and cell.judged]
    found = {tuple(cell.of.split(", ")) for cell in cells}
    words = {"means", "shares", "times"}
    assert {pair for pair in found if pair[1] in words and "claims" not in pair[0]} == set(itertools.product(COMPARISONS, words))
    assert {pair[0] for pair in found if pair[1] in ("ranks", "medians")} >= set(COMPARISONS)
    assert {cell.n for cell in cells} == set(RUNS)


def test_no_label_is_cut_off_in_a_terminal():
    for kind in dict.fromkeys(itertools.chain(*PARTS.values())):
        cells = [cell for job in jobs() for cell in job.cells if cell.kind == kind]
        assert max(len(cell.of) for cell in cells) + max(len(cell.truth) for cell in cells) + 3 * 6 + 4 <= 80


def test_an_exact_share_covers_what_it_promises():
    assert measured.share_solved(0.5, 10).share == pytest.approx(1 - 22 / 1024)  # all but 0, 1, 9 and 10 of ten
    assert measured.share_solved(0.5, 5).share == pytest.approx(1.0)


def test_recorded_runs_are_compared_as_the_demo_compares_them():
    family = cifg_against_lstm(np.random.default_rng(0))
    assert (len(family.variants), family.until, family.on_time) == (4, BUDGET, True)
    assert families.power(cifg_against_lstm, 20, np.random.default_rng(1)).share == 1.0


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


def test_every_number_is_whole_in_80_columns_and_in_markdown():
    """The longest names of a part, and a number with a mark."""
    for part in itertools.chain(*PARTS.values()):
        rows = [cell for job in jobs() for cell in job.cells if cell.kind == part]
        found = [dataclasses.replace(cell, found=Measured(0.123, 1000, 1000)) for cell in rows]
        console = Console(width=80, file=io.StringIO(), color_system=None)
        print_calibration(found, 1000, console)
        text: str = console.file.getvalue()  # type: ignore[attr-defined]
        assert max(map(len, text.splitlines())) <= 80
        assert "…" not in text
        assert len(re.findall(r"\b0\.123[!?+]?", text)) == len(found)
        assert markdown(found, 1000).count("0.123") == len(found)


def test_what_is_not_printed_has_a_reason():
    console = Console(width=80, file=io.StringIO(), color_system=None)
    missing = [dataclasses.replace(cell(0.5, count=0), of=of) for of in ("IQM over 2 tasks", "expected best of 1", "median")]
    print_calibration(missing, 1000, console)
    text = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    for name in ("IQM", "expected best", "median"):
        assert f"– {name}: {REASONS[name]}" in text
    assert {one["why_not"] for one in plain(missing)} == {REASONS[name] for name in ("IQM", "expected best", "median")}


def test_the_page_of_the_documentation_has_the_rows_of_the_command():
    page = (Path(__file__).parents[3] / "docs" / "calibration.md").read_text("utf-8")
    shown: list[tuple[str, str]] = []
    for line in page.splitlines():
        words = [word.strip() for word in line.strip("|").split("|")]
        if line.startswith("| ") and words[0] not in ("of", "---"):
            shown.append((words[0], words[1]))
    headings = re.findall(r"^\| of \| scores \|(.*)\|$", page, re.MULTILINE)
    cells = [cell for job in jobs() for cell in job.cells]
    kinds = dict.fromkeys(cell.kind for cell in cells)
    assert shown == [row for kind in kinds for row in rows_of(cell for cell in cells if cell.kind == kind)]
    numbers = [TRIALS if kind in PARTS["searches"] else RUNS for kind in kinds]
    assert [tuple(map(int, re.findall(r"n = (\d+)", heading))) for heading in headings] == numbers


REDUCED = ("mean", "share solved", "time ratio", "difference", "Dunnett", "better", "below, times", "order", "log-rank, c")


@pytest.mark.slow  # a simulation
def test_the_table_of_five_runs_within_wide_bounds():
    """Thirty repetitions each, always the same: five standard errors from a bar is not chance among some 100 numbers."""
    kinds = set()
    for number, job in enumerate(jobs()):
        first = job.cells[0]
        if first.n in (5, 40) and first.of.startswith(REDUCED) and not first.of.endswith("10 variants, 1 task"):
            for cell in measured_cells(number, 30):
                kinds.add(cell.kind)
                assert cell.found is not None
                if cell.judged and cell.printed:
                    slack = 5 * cell.found.error
                    assert not cell.found.share + slack < cell.low, cell
                    if cell.kind not in (COVERAGE, *PARTS["power"]) and "coverage" not in cell.kind:
                        assert not cell.found.share - slack > cell.high, cell
    assert kinds == set(itertools.chain(*PARTS.values()))
