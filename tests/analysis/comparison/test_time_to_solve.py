"""Who solves the task and when, in rows, tables and messages."""

from pathlib import Path

import pytest
from analysis.comparison.rows import compared, only, printed, solving_of

from gatelab.analysis.comparison.table import compare
from gatelab.analysis.statistics.survival import restricted_mean, share_interval
from gatelab.errors import UserError
from gatelab.runs import find_runs


@pytest.fixture
def solvers(make_run, tmp_path: Path) -> Path:
    """The synthetic accuracy rises in a straight line to its last value at step 200: lstm solves twice, gru never."""
    for seed, score in enumerate((1.32, 0.99, 0.5)):
        make_run("lstm", "copying", seed, score=score)
        make_run("gru", "copying", seed, score=0.5)
    return tmp_path


def test_shares_and_times_of_a_row(solvers: Path):
    lstm, gru = (solving_of(only(compared(solvers).rows, cell=cell)) for cell in ("lstm", "gru"))
    assert (lstm.read.times, lstm.read.solved, lstm.until) == ((150, 200, 200), (True, True, False), 200)
    assert lstm.share == share_interval(2, 3)
    assert lstm.mean == restricted_mean(lstm.times, 200)
    assert lstm.mean.value == pytest.approx((150 + 200 + 200) / 3)
    assert (lstm.median.value, gru.count, gru.mean.value) == (200, 0, 200)
    assert lstm.curve.share[-1] == pytest.approx(2 / 3)


def test_the_table_shows_them(solvers: Path):
    text = printed(compared(solvers).rows, 140)
    assert "steps to solve" in text
    (lstm,) = (line for line in text.splitlines() if line.startswith("lstm"))
    (gru,) = (line for line in text.splitlines() if line.startswith("gru"))
    assert "2/3 (9–99%)  183 (" in lstm
    assert "0/3 (0–71%)               –" in gru
    assert "Steps to solve: mean with its 95% interval" in " ".join(text.split())


def test_no_time_is_shown_where_no_run_solves_the_task(make_run, tmp_path: Path):
    make_run(score=0.5)
    text = printed(compared(tmp_path).rows)
    assert "0/1" in text
    assert "to solve" not in text


def test_another_level_and_another_unit(solvers: Path):
    runs = find_runs([solvers])[0]
    rows = compare(runs, level=0.3, unit="seconds").rows
    gru = only(rows, cell="gru")
    assert (gru.solved, solving_of(gru).count) == (0.3, 3)
    assert solving_of(gru).mean.value == pytest.approx(150 / 20)  # steps at 20 a second
    text = printed(rows, 140)
    assert "solved at 0.3" in text
    assert "seconds to solve" in text
    assert "7.5 (" in text


def test_the_area_ends_with_the_shortest_budget(make_run, tmp_path: Path):
    for seed in range(3):
        make_run("lstm", "copying", seed, score=0.5)
        make_run("gru", "copying", seed, score=0.99, **{"trainer.max_steps": 300})
    lstm, gru = (solving_of(only(compared(tmp_path).rows, cell=cell)) for cell in ("lstm", "gru"))
    assert (lstm.until, gru.until, lstm.read.budget, gru.read.budget) == (200, 200, 200, 300)


def test_what_happens_behind_the_shortest_budget_is_drawn_and_not_compared(make_run, tmp_path: Path):
    make_run("lstm", "copying", score=0.5)
    path = make_run("gru", "copying", score=0.5, **{"trainer.max_steps": 300}) / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 250, "val/accuracy": 1.0}\n')
    gru = solving_of(only(compared(tmp_path).rows, cell="gru"))
    assert gru.times == ([200], [False])
    assert (gru.curve.times[-1], gru.curve.share[-1], gru.count) == (250, 1, 1)


@pytest.mark.parametrize(
    ("task", "level", "message"),
    [
        ("copying", 0.05, r"on the task copying a constant predictor already has the accuracy 0\.1\. Give a level above that"),
        ("adding", 0.2, r"on the task adding a constant predictor already has the mse 0\.1667\. Give a level below that"),
    ],
)
def test_a_level_that_a_constant_reaches_is_refused(make_run, tmp_path: Path, task: str, level: float, message: str):
    make_run(task=task)
    with pytest.raises(UserError, match=message):
        compare(find_runs([tmp_path])[0], level=level)


def test_a_level_of_several_scores_is_refused(messy: Path):
    with pytest.raises(UserError, match=r"the scores of these runs are accuracy, mse\. Give runs with one score"):
        compare(find_runs([messy])[0], level=0.1)
