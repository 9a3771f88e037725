"""Rows as they are shown and handed on: terminal, Markdown, CSV, JSON."""

import csv
import dataclasses
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from analysis.comparison.rows import compared, printed

from gatelab.analysis.comparison.export import render
from gatelab.analysis.comparison.numbers import estimate
from gatelab.analysis.comparison.overall import overall
from gatelab.analysis.comparison.sparklines import validation_curves
from gatelab.analysis.comparison.table import Row, compare
from gatelab.analysis.comparison.terminal import print_skipped, print_table
from gatelab.analysis.report.document import build_page
from gatelab.analysis.statistics.intervals import Interval
from gatelab.errors import UserError
from gatelab.process.console import Console
from gatelab.runs import find_runs


def test_a_diverged_run_is_last_and_still_valid_json(make_run, tmp_path: Path):
    make_run("gru", seed=0, score=0.1)
    make_run("gru", seed=1, score=math.nan)
    make_run("lstm", score=0.9)
    make_run("cifg", score=math.inf)
    rows = compared(tmp_path, "lstm").rows
    assert [row.cell for row in rows] == ["lstm", "cifg", "gru"]
    assert [row.best for row in rows] == [True, False, False]
    assert (rows[2].mean, rows[2].odd) == (None, "1 of 2 runs diverged")
    assert [row["mean"] for row in json.loads(render(rows, "json"))["rows"]] == [0.9, None, None]
    assert re.search(r"gru +2 +median ∞", printed(rows))


# The names by which other programs know the fields of a row, in order.
FIELDS = [
    "task",
    "task_options",
    "cell",
    "options",
    "metric",
    "higher_is_better",
    "scale",
    "shape",
    "n",
    "diverged",
    "scores",
    "seeds",
    "mean",
    "low",
    "high",
    "odd",
    "median",
    "median_low",
    "median_high",
    "best",
    "chance",
    "solved",
    "solved_share",
    "solved_low",
    "solved_high",
    "time_unit",
    "times",
    "times_solved",
    "time_until",
    "time_mean",
    "time_mean_low",
    "time_mean_high",
    "time_median",
    "time_median_low",
    "time_median_high",
    "parameters",
    "flops_per_step",
    "seconds_per_step",
    "wall_seconds",
    "saturated",
    "saturated_below",
    "saturated_above",
    "failed",
    "running",
    "preempted",
    "compared",
    "measure",
    "difference",
    "difference_low",
    "difference_high",
    "adjusted_low",
    "adjusted_high",
    "share_difference",
    "share_difference_low",
    "share_difference_high",
    "test",
    "statistic",
    "p",
    "p_adjusted",
    "least_adjusted",
    "better",
    "improvement",
    "improvement_low",
    "improvement_high",
    "effect",
    "effect_low",
    "effect_high",
    "correlation",
    "note",
]


def fields_of(row: Row) -> dict[str, Any]:
    """The fields by their names, with the ends of intervals spelled out."""
    nothing = Interval(math.nan, None, None)
    fields = {name: getattr(row, name, None) for name in FIELDS}
    found = row.difference
    for name in ("measure", "test", "statistic", "p", "p_adjusted", "least_adjusted", "better", "correlation"):
        fields[name] = getattr(found, name, "" if name in ("measure", "test") else None)
    fields["compared"] = "scores" if found else ""
    fields |= {f"adjusted_{end}": found and getattr(found.simultaneous, end) for end in ("low", "high")}
    solving = row.solving
    fields |= {"time_unit": "steps" if solving else "", "time_until": 200.0 if solving else None}
    fields |= {"times": solving.read.times if solving else (), "times_solved": solving.read.solved if solving else ()}
    for name, interval in (
        ("solved_share", solving and solving.share),
        ("time_mean", solving and solving.mean),
        ("time_median", solving and solving.median),
        ("mean", row.mean),
        ("median", row.median),
        ("difference", row.difference and row.difference.size),
        ("share_difference", row.difference and row.difference.share),
        ("improvement", row.difference and row.difference.improvement),
        ("effect", row.difference and row.difference.effect),
    ):
        value, low, high = interval or nothing
        prefix = {"mean": "", "solved_share": "solved_"}.get(name, f"{name}_")
        fields |= {name: None if math.isnan(value) else value, f"{prefix}low": low, f"{prefix}high": high}
    return {name: fields[name] for name in FIELDS}


def test_json_holds_every_field_at_full_precision(messy: Path):
    rows = compared(messy, "lstm").rows
    expected = [
        {
            # JSON has no infinity, which a median that no run reached is.
            name: list(value) if isinstance(value, tuple) else None if value == math.inf else value
            for name, value in fields_of(row).items()
        }
        for row in rows
    ]
    found = json.loads(render(rows, "json"))
    assert found == {"rows": expected, "overall": []}
    assert [list(row) for row in found["rows"]] == [FIELDS] * len(rows)


def test_csv_holds_every_field_at_full_precision(messy: Path):
    rows = compared(messy, "lstm").rows
    read = list(csv.DictReader(io.StringIO(render(rows, "csv"))))
    for record, row in zip(read, rows, strict=True):
        expected = fields_of(row)
        for key in ("scores", "seeds", "times", "times_solved"):
            assert record.pop(key) == " ".join(map(str, expected.pop(key)))
        assert record == {key: "" if value is None else str(value) for key, value in expected.items()}


def test_markdown(make_run, tmp_path: Path):
    for seed in range(2):
        make_run("peep|hole", seed=seed, score=0.1 + 0.01 * seed)
    make_run("<b>", score=0.5)
    text = render(compared(tmp_path).rows, "markdown")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert lines == [
        "| cell | n | test mse | solved | params | s/step | saturated |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| **peep\\|hole** | 2 | 0.105 ± 0.064 | 0/2 (0–84%) | 1,009 | 0.015 | 50% |",
        "| &lt;b&gt; | 1 | 0.5000 | 0/1 (0–98%) | 1,003 | 0.01 | 50% |",
    ]
    assert "95% Student-t interval" in text


def test_unknown_format(messy: Path):
    with pytest.raises(UserError, match="Did you mean 'json'"):
        render(compared(messy).rows, "jsn")


def test_table_for_the_terminal(messy: Path):
    text = printed(compared(messy, "lstm").rows, baseline="lstm")
    assert "adding  mse, lower is better; chance 1; solved at 0.01" in text
    text = printed(compared(messy, "lstm").rows, width=140, baseline="lstm")
    assert re.search(r"gru +hidden_size=64 +3 +0\.310 ± 0\.025 +\+0\.100 ± 0\.022 worse +<0\.001 +0% +0/3 \(0–71%\) +– ", text)
    assert re.search(r"lstm +hidden_size=128 +3 +0\.0060 ± 0\.0025 +– +– +– +3/3 \(29–100%\) +50 \(29–129\) ", text)
    assert re.search(r"cifg +0 +– .*1 failed", text)
    assert "19 runs: 16 finished, 2 failed, 1 running." in " ".join(text.split())


def test_the_best_row_is_bold(messy: Path):
    console = Console(width=100, file=io.StringIO(), force_terminal=True, color_system="standard")
    print_table(compared(messy).rows, console)
    bold = [line for line in console.file.getvalue().splitlines() if line.startswith("\x1b[1m") and "%" in line]  # type: ignore[attr-defined]
    assert [re.sub(r"\x1b\[\d*m", "", line).split()[0] for line in bold] == ["lstm", "gru"]


def test_no_number_is_cut_short_on_a_narrow_terminal(messy: Path):
    rows = compared(messy, "lstm").rows
    wide, narrow = [re.split(r"  +", line.strip()) for line in printed(rows, width=200).splitlines()], printed(rows, width=40)
    cells = {cell for line in wide for cell in line[1:] if re.search(r"\d", cell) and "is better" not in cell}
    assert len(cells) > 20
    assert [cell for cell in cells if not re.search(rf"(?<!\S){re.escape(cell)}(?!\S)", narrow)] == []
    assert sum(line.startswith("cell") for line in narrow.splitlines()) > 4  # in several tables for each task


@pytest.mark.parametrize("width", [80, 100, 140])
def test_lines_fit_the_terminal(messy: Path, width: int):
    rows = compared(messy, "lstm").rows
    assert max(len(line.rstrip()) for line in printed(rows, width, baseline="lstm").splitlines()) <= width


def test_names_from_files_are_not_markup(make_run, tmp_path: Path):
    make_run("[red]lstm[/]", score=0.1)
    result = compared(tmp_path)
    assert "[red]lstm[/]" in printed(result.rows)
    console = Console(width=100, file=io.StringIO(), color_system=None)
    print_skipped([dataclasses.replace(item, reason="[/oops]") for item in find_runs([tmp_path, empty(tmp_path)])[1]], console)
    assert "[/oops]" in console.file.getvalue()  # type: ignore[attr-defined]


def empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


def test_no_runs():
    result = compare([])
    assert (result.rows, result.skipped) == ([], [])
    assert "no runs" in printed([])
    assert json.loads(render([], "json")) == {"rows": [], "overall": []}
    assert render([], "csv") == ",".join(FIELDS) + "\n"


@pytest.mark.parametrize(
    ("value", "low", "high", "text"),
    [
        (0.0021, 0.0018, 0.0024, "0.00210 ± 0.00030"),
        (0.9912, 0.9881, 0.9943, "0.9912 ± 0.0031"),
        (12345.6, 12300.0, 12391.2, "12346 ± 46"),
        (3.25, None, None, "3.250"),
        (1.0, 1.0, 1.0, "1.000 ± 0.000"),
        (2.5e-7, 2e-7, 3e-7, "2.5e-07 ± 5e-08"),
        (2.5e9, None, None, "2.5e+09"),
        (math.inf, None, None, "inf"),
        (None, None, None, "–"),
    ],
)
def test_estimates_show_what_is_known(value: float | None, low: float | None, high: float | None, text: str):
    assert estimate(None if value is None else Interval(value, low, high)) == text


def test_all_tasks_together(make_run, tmp_path: Path):
    # adding: chance 1/6, solved 0.01; copying: chance 0.1, solved 0.99.
    for seed in range(2):
        make_run("lstm", "adding", seed, score=0.01)
        make_run("lstm", "copying", seed, score=0.1 if seed else 0.99)
        make_run("gru", "adding", seed, score=1 / 6)
        make_run("gru", "copying", seed, score=0.1, state="finished" if seed else "diverged")
        make_run("cifg", "adding", seed, score=0.0)  # on one task only
    rows = compared(tmp_path).rows
    lstm, gru = overall(rows)
    assert (lstm.cell, lstm.tasks, lstm.n, gru.cell) == ("lstm", 2, 4, "gru")
    assert (lstm.iqm, lstm.mean) == pytest.approx((1.0, 0.75))  # of 1, 1, 1, 0
    assert (gru.iqm, gru.mean) == (0.0, -math.inf)
    assert "2 tasks together" in printed(rows)
    assert [item["n"] for item in json.loads(render(rows, "json"))["overall"]] == [4, 4]
    assert (lstm.rank, gru.rank, lstm.critical, lstm.chances) == (1.0, 2.0, None, None)
    ahead, behind = overall(rows, "lstm")
    assert ahead.chances is None
    assert behind.chances is not None and behind.chances.worse > 0.9


def test_one_task_is_not_put_together(make_run, tmp_path: Path):
    make_run("lstm", "adding", score=0.1)
    assert overall(compared(tmp_path).rows) == []
    assert "all 1" not in printed(compared(tmp_path).rows)


def test_cost_and_curves_are_shown(make_run, tmp_path: Path):
    for seed in range(2):
        make_run(seed=seed, score=0.2 + 0.1 * seed, summary={"flops_per_step": 1_234_567, "wall_seconds": 60 + 2 * seed})
    result = compared(tmp_path)
    text = printed(result.rows, curves=validation_curves(result.rows))
    assert re.search(r" 1\.23M +0\.015 +61 ", text)
    assert "▁▁▃▃▃▆▆▆█" in text
    assert "▁▁▃▃▃▆▆▆█" in render(result.rows, "markdown", curves=validation_curves(result.rows))
    assert json.loads(render(result.rows, "json"))["rows"][0]["flops_per_step"] == 1_234_567


@pytest.mark.parametrize("format", ["table", "markdown"])
def test_the_limits_of_saturation_are_those_of_the_runs(make_run, tmp_path: Path, format: str):  # noqa: A002
    def said() -> str:
        rows = compared(tmp_path).rows
        return " ".join((printed(rows) if format == "table" else render(rows, format)).split())

    make_run("lstm", **{"trainer.saturated_below": 0.05, "trainer.saturated_above": 0.8})
    assert "gate activations below 0.05 or above 0.8." in said()
    make_run("gru")
    assert "below 0.05 or 0.1 (by the options of the run) or above 0.8 or 0.9 (by the options of the run)." in said()


def test_a_damaged_limit_of_saturation(make_run, tmp_path: Path):
    make_run("lstm", **{"trainer.saturated_below": "low"})
    assert "below nan or above 0.9" in " ".join(printed(compared(tmp_path).rows).split())


def test_the_limits_of_saturation_in_a_figure(make_run, tmp_path: Path):
    make_run("lstm", state="running", **{"trainer.saturated_below": 0.05, "trainer.saturated_above": 0.8})
    html = build_page(*find_runs([tmp_path / "runs"])).html
    for words in ("share below 0.05", "share above 0.8", "share of steps below 0.05", "share of steps above 0.8"):
        assert words in html
    for words in ("below 0.1", "above 0.9"):
        assert words not in html
