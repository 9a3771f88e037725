"""Rows from run directories: exactly which runs stand behind which number, and what is left out."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis.comparison.rows import compared, difference_of, only, printed, solving_of
from analysis.synthetic import configuration
from scipy import stats

from gatelab.analysis.comparison.export import render
from gatelab.analysis.comparison.table import Row, compare
from gatelab.errors import UserError
from gatelab.runs import enqueue, find_runs

NAMED = ("task", "cell", "options", "n", "failed", "running")

ttest: Any = stats.ttest_ind  # SciPy makes the class of its result at run time


def test_rows_of_a_messy_folder(messy: Path):
    rows = compared(messy).rows
    assert [tuple(getattr(row, name) for name in NAMED) for row in rows] == [
        ("adding", "lstm", {"model.hidden_size": "128"}, 3, 0, 0),
        ("adding", "lstm", {"model.hidden_size": "64"}, 4, 0, 0),
        ("adding", "gru", {"model.hidden_size": "64"}, 3, 0, 0),
        ("copying", "gru", {}, 3, 1, 0),
        ("copying", "lstm", {}, 3, 0, 1),
        ("copying", "cifg", {}, 0, 1, 0),
    ]
    assert [row.best for row in rows] == [True, False, False, True, False, False]


def test_all_fields_of_a_row(messy: Path):
    row = only(compared(messy).rows, cell="gru", task="copying")
    scores = np.array([0.6, 0.61, 0.62])
    low, high = stats.ttest_1samp(scores, 0.0).confidence_interval(0.95)
    assert (row.metric, row.higher_is_better, row.parameters) == ("accuracy", True, 1003)
    assert row.mean == pytest.approx((0.61, low, high))
    assert (row.chance, row.solved, solving_of(row).count, solving_of(row).n) == (0.1, 0.99, 0, 3)
    assert row.seconds_per_step == pytest.approx(0.02)  # mean of 0.01, 0.02, 0.03
    assert row.saturated == pytest.approx(0.5)  # 0.1 left and 0.4 right, of each of the two gates
    assert (row.difference, row.better, row.note) == (None, None, "")


def test_a_row_without_a_finished_run(messy: Path):
    row = only(compared(messy, "lstm").rows, cell="cifg")
    assert row == Row(row.variant, "accuracy", True, n=0, failed=1, shape="single", test_size=300)
    assert (row.task, row.task_options, row.cell, row.options) == ("copying", {}, "cifg", {})


def test_what_is_skipped(messy: Path):
    runs, skipped = find_runs([messy])
    (damaged,) = messy.glob("lstm-adding-s10-*")
    assert {item.path.name for item in skipped} == {"half-written", "notes", damaged.name}
    found = compare(runs).skipped
    assert [(item.path.name[:15], item.reason) for item in found] == [
        ("lstm-adding-s11", "summary.json is missing"),
        ("lstm-adding-s12", "its time to solve is left out: metrics.jsonl, line 2, is damaged"),
    ]


def test_two_variants_are_never_averaged(make_run, tmp_path: Path):
    make_run(score=0.1, **{"optimizer.lr": 0.1})
    make_run(score=0.3, **{"optimizer.lr": 0.01})
    rows = compared(tmp_path).rows
    assert [(row.options, row.n, row.mean.value if row.mean else None) for row in rows] == [
        ({"optimizer.lr": "0.1"}, 1, 0.1),
        ({"optimizer.lr": "0.01"}, 1, 0.3),
    ]


@pytest.mark.parametrize("key", ["machine.device", "logger.name", "out", "sweep"])
def test_where_a_run_happens_does_not_split_a_variant(make_run, tmp_path: Path, key: str):
    make_run(seed=0, score=0.1, **{key: "here"})
    make_run(seed=1, score=0.3, **{key: "there"})
    (row,) = compared(tmp_path).rows
    assert (row.n, row.mean and row.mean.value, row.options) == (2, 0.2, {})


def test_options_of_another_optimiser_do_not_clutter_the_label(make_run, tmp_path: Path):
    make_run(score=0.1, optimizer={"name": "sgd", "lr": 0.1, "momentum": 0.9})
    make_run(score=0.2)
    assert [row.options for row in compared(tmp_path).rows] == [
        {"optimizer.name": "sgd", "optimizer.lr": "0.1"},
        {"optimizer.name": "adamw", "optimizer.lr": "0.002"},
    ]


def test_an_option_that_only_some_have_tells_variants_apart(make_run, tmp_path: Path):
    make_run(score=0.1, **{"model.new": True})
    make_run(score=0.2)
    assert [row.options for row in compared(tmp_path).rows] == [{"model.new": "true"}, {}]


def test_an_option_may_hold_a_list(make_run, tmp_path: Path):
    make_run(score=0.1, **{"optimizer.betas": [0.9, 0.99], "model.rule": "a=b, c"})
    make_run(score=0.2, **{"optimizer.betas": [0.8, 0.99], "model.rule": "a=b, d"})
    rows = compared(tmp_path).rows
    assert [row.options for row in rows] == [
        {"model.rule": "a=b, c", "optimizer.betas": "[0.9, 0.99]"},
        {"model.rule": "a=b, d", "optimizer.betas": "[0.8, 0.99]"},
    ]
    lines = [line.strip() for line in printed(rows).splitlines()]
    for written in ("rule=a=b, c", "betas=[0.9, 0.99]", "rule=a=b, d", "betas=[0.8, 0.99]"):
        assert any(written in line for line in lines), written  # each on a line of its own, whole
    (first, _) = json.loads(render(rows, "json"))["rows"]
    assert first["options"] == {"model.rule": "a=b, c", "optimizer.betas": "[0.9, 0.99]"}
    assert "model.rule=a=b, c, optimizer.betas=[0.9, 0.99]" in render(rows, "csv")


def test_options_of_a_cell_are_compared_within_it(make_run, tmp_path: Path):
    make_run("lstm", score=0.1, **{"cell.bias": 1.0})
    make_run("lstm", score=0.2, **{"cell.bias": 0.0})
    make_run("gru", score=0.3, **{"cell.bias": 5.0})
    assert [row.options for row in compared(tmp_path).rows] == [{"cell.bias": "1.0"}, {"cell.bias": "0.0"}, {}]


def test_different_tasks_of_one_name_are_not_compared(make_run, tmp_path: Path):
    for seed in range(2):
        make_run("lstm", seed=seed, score=0.1)
        make_run("gru", seed=seed, score=0.2, **{"task.length": 200})
    rows = compared(tmp_path, "lstm").rows
    assert [(row.cell, row.task_options, row.best) for row in rows] == [
        ("lstm", {"task.length": "100"}, True),
        ("gru", {"task.length": "200"}, True),
    ]
    assert (rows[1].difference, rows[1].note) == (None, "no finished run of lstm on this task")


def test_a_copy_of_a_run_is_not_counted_again(make_run, tmp_path: Path):
    make_run(seed=0, score=0.1)
    make_run(seed=1, score=0.3)
    copy = make_run(seed=1, score=0.3, folder="copy")
    same = make_run(seed=0, score=0.1, folder="copy", data_seed=0, state="running")  # the data seed is the seed unless given
    result = compared(tmp_path)
    assert [(row.n, row.running) for row in result.rows] == [(2, 0)]
    reasons = {item.path.parent.name: item.reason for item in result.skipped}
    assert len(result.skipped) == 2
    assert all("same configuration, same seed" in reason for reason in reasons.values())
    assert same in {item.path for item in result.skipped}  # the finished one of the two is kept
    assert copy not in {item.path for item in result.skipped}  # the later one of the two is kept


def test_another_data_seed_is_another_run(make_run, tmp_path: Path):
    make_run(seed=0, score=0.1)
    make_run(seed=0, score=0.3, data_seed=1)
    assert [row.n for row in compared(tmp_path).rows] == [2]


def test_other_equations_under_the_same_name_are_another_cell(make_run, tmp_path: Path):
    for digest, score in (("1f" * 32, 0.1), ("2e" * 32, 0.2)):
        plugin = {"plugins": ["/home/me/mycell.py"], "provenance": {"plugin_sha256": {"/home/me/mycell.py": digest}}}
        make_run("mycell", score=score, **plugin)
        make_run("lstm", score=score, seed=int(score * 10), **plugin)  # its equations are not in the file
    rows = compared(tmp_path).rows
    assert [(row.cell, row.options, row.n) for row in rows] == [
        ("mycell", {"plugins": "1f1f1f1f1f"}, 1),
        ("lstm", {}, 2),
        ("mycell", {"plugins": "2e2e2e2e2e"}, 1),
    ]


def test_other_data_under_the_same_name_are_another_task(make_run, tmp_path: Path):
    """Where a file of the user defines the task; the data of those that come with gatelab are fixed in it."""
    for digest, score in (("1f" * 32, 0.1), ("2e" * 32, 0.2)):
        origin = {"plugins": {"task": {"path": "/home/me/mine.py", "sha256": "3d" * 32}}, "data_sha256": {"numbers": digest}}
        make_run(task="adding", score=score, plugins=["/home/me/mine.py"], provenance=origin, seed=int(score * 10))
    assert [(str(row.task_options), row.n) for row in compared(tmp_path).rows] == [
        ("task.data_sha256=1f1f1f1f1f", 1),
        ("task.data_sha256=2e2e2e2e2e", 1),
    ]


def test_another_task_under_the_same_name_is_another_task(make_run, tmp_path: Path):
    """Scores on different tasks are never compared."""
    for digest, score in (("1f" * 32, 0.1), ("2e" * 32, 0.2)):
        origin = {"plugins": {"task": {"path": "/home/me/mine.py", "sha256": digest}}}
        make_run(task="adding", score=score, plugins=["/home/me/mine.py"], provenance=origin, seed=int(score * 10))
    assert [(str(row.task_options), str(row.options)) for row in compared(tmp_path).rows] == [
        ("task.plugin=1f1f1f1f1f", ""),
        ("task.plugin=2e2e2e2e2e", ""),
    ]


def test_the_baseline_has_the_same_options(messy: Path):
    row = only(compared(messy, "lstm").rows, cell="gru", task="adding")
    # Against hidden_size=64, with the run whose metrics are damaged (score 0.21): its summary is sound.
    assert difference_of(row).size.value == pytest.approx(0.31 - (0.2 + 0.21 + 0.22 + 0.21) / 4)
    assert (row.better, row.note) == (False, "")  # mse: lower is better


@pytest.mark.parametrize(("shift", "better"), [(-0.3, True), (0.3, False), (0.001, None)])
def test_better_only_if_the_difference_is_significant(make_run, tmp_path: Path, shift: float, better: bool | None):
    for seed in range(3):
        make_run("lstm", seed=seed, score=0.5 + 0.01 * seed)
        make_run("gru", seed=seed, score=0.5 - 0.01 * seed + shift)
    assert only(compared(tmp_path, "lstm").rows, cell="gru").better is better


def test_a_single_run_has_a_difference_but_no_conclusion(make_run, tmp_path: Path):
    make_run("lstm", score=0.1)
    make_run("gru", score=0.9)
    row = only(compared(tmp_path, "lstm").rows, cell="gru")
    assert row.mean == (0.9, None, None)
    assert difference_of(row).size == (pytest.approx(0.8), None, None)
    assert row.better is None


def test_the_only_baseline_has_other_options(make_run, tmp_path: Path):
    make_run("lstm", score=0.1)
    make_run("gru", score=0.3, **{"model.hidden_size": 74})
    row = only(compared(tmp_path, "lstm").rows, cell="gru")
    assert difference_of(row).size.value == pytest.approx(0.2)
    assert row.note == "compared with lstm, model.hidden_size=64"


def test_no_baseline_fits(make_run, tmp_path: Path):
    make_run("lstm", score=0.1, **{"model.hidden_size": 32})
    make_run("lstm", score=0.2, **{"model.hidden_size": 64})
    make_run("gru", score=0.3, **{"model.hidden_size": 128})
    row = only(compared(tmp_path, "lstm").rows, cell="gru")
    assert (row.difference, row.note) == (None, "none of the 2 variants of lstm has the same options")


def test_two_baselines_fit(make_run, tmp_path: Path):
    make_run("lstm", score=0.1, **{"cell.bias": 1.0})
    make_run("lstm", score=0.2, **{"cell.bias": 0.0})
    make_run("gru", score=0.3)
    row = only(compared(tmp_path, "lstm").rows, cell="gru")
    assert row.difference is None
    assert row.note == "2 variants of lstm have the same options, so the comparison is not unique"


def test_unknown_baseline(messy: Path):
    with pytest.raises(UserError, match=r"Unknown baseline 'lstn'\. Did you mean 'lstm'\? Available: cifg, gru, lstm\."):
        compared(messy, "lstn")


@pytest.mark.parametrize(
    ("summary", "reason"),
    [
        ({"test": {}}, "summary.json lacks 'mse'"),
        ({"test": None}, "summary.json is damaged"),
        ({"test": {"mse": "fast"}}, "summary.json is damaged"),
        ({"metric": 3}, "summary.json is damaged"),
        ({"gates": [1]}, "summary.json is damaged"),
        ({"scale": "ln"}, "summary.json is damaged: scale is 'ln', but it must be one of linear, log, logit"),
        ({"shape": ["any"]}, "summary.json is damaged"),
        ({"metric": "mae", "test": {"mae": 0.1}}, "the metric is 'mae', other runs have 'mse'"),
    ],
)
def test_a_damaged_summary_is_named(make_run, tmp_path: Path, summary: dict[str, Any], reason: str):
    make_run(seed=0, score=0.5)
    make_run(seed=1, score=0.1, summary=summary)
    result = compared(tmp_path)
    assert [(row.n, row.mean) for row in result.rows] == [(1, (0.5, None, None))]
    assert [reason in item.reason for item in result.skipped] == [True]


def test_a_summary_that_is_no_json_is_named(make_run, tmp_path: Path):
    (make_run() / "summary.json").write_text('{"cell": ')
    result = compared(tmp_path)
    assert result.rows == []
    assert "summary.json cannot be read" in result.skipped[0].reason


def test_solved_counts_from_the_level_on(make_run, tmp_path: Path):
    for seed, score in enumerate((0.98, 0.99, 1.0, 0.5)):
        make_run(task="copying", seed=seed, score=score)
    assert solving_of(compared(tmp_path).rows[0]).count == 2


def test_what_a_summary_need_not_hold(make_run, tmp_path: Path):
    make_run(summary={"chance": None, "solved": None, "parameters": None, "seconds_per_step": None, "gates": {}})
    (row,) = compared(tmp_path).rows
    assert (row.chance, row.solved, row.solving, row.parameters, row.seconds_per_step, row.saturated) == (None,) * 6
    assert "saturated" not in printed([row]).partition("1 run")[0]


def test_a_diverged_run_counts_and_is_named(make_run, tmp_path: Path):
    make_run(task="copying", seed=0, score=0.99)
    make_run(task="copying", seed=1, state="diverged")
    make_run(task="copying", seed=2, state="failed")
    (row,) = compared(tmp_path).rows
    assert (row.n, row.diverged, row.failed, row.seeds) == (2, 1, 1, ("0", "1"))
    assert (solving_of(row).count, solving_of(row).n) == (1, 2)
    text = printed([row])
    assert "1 diverged, 1 failed" in text
    assert "3 runs: 1 finished, 1 diverged, 1 failed, 0 running." in text


def test_what_diverged_everywhere(make_run, tmp_path: Path):
    make_run("lstm", score=0.1)
    make_run("gru", state="diverged")
    lstm, gru = compared(tmp_path, "lstm").rows
    assert (gru.metric, gru.n, gru.median and gru.median.value, gru.chance) == (lstm.metric, 1, math.inf, lstm.chance)
    make_run("gru", "copying", state="diverged")  # alone on its task: not even the metric is known
    assert "copying" in printed(compared(tmp_path).rows)


def test_what_was_stopped_is_no_failure_and_what_is_queued_is_no_run(make_run, tmp_path: Path):
    make_run(seed=0, score=0.1)
    make_run(seed=1, state="preempted")
    enqueue(tmp_path / "runs" / "next", configuration("lstm", "adding", 2), "id")
    runs, skipped = find_runs([tmp_path / "runs"])
    assert (len(runs), skipped) == (3, [])
    (row,) = compare(runs).rows
    assert (row.n, row.failed, row.running, row.preempted) == (1, 0, 0, 1)


def test_other_backends_than_most_are_noted(make_run, tmp_path: Path):
    for seed in range(3):
        make_run("lstm", seed=seed, score=0.1, provenance={"backend": "cpu"})
        make_run("gru", seed=seed, score=0.2, provenance={"backend": "eager" if seed else "cpu"})
        make_run("lstm", task="copying", seed=seed, score=0.2, provenance={"backend": "eager"})
        make_run("cifg", seed=seed, score=0.3, provenance={})  # of an earlier version
    rows = compared(tmp_path, "lstm").rows
    said = "trained on the backend eager (2 of 3 runs), most others on cpu"
    assert {(row.cell, row.task): row.note for row in rows if row.note} == {("gru", "adding"): said}
    assert f"gru: {said}." in render(rows, "markdown", "lstm")
