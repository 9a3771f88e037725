"""When runs solve their task, on run directories whose validation scores are known."""

import json
import math
from pathlib import Path

import pytest

from gatelab.analysis.reading.results import Result, read_results
from gatelab.analysis.reading.solving import TimesToSolve, TimeUnit, first_step, times_to_solve
from gatelab.analysis.reading.variants import read_variants
from gatelab.runs import find_runs, read_run

BUDGET = 200  # of the synthetic runs, which validate at 50, 100, 150 and 200
SPEED = 20.0  # steps a second of the synthetic runs


@pytest.fixture
def runs_with(make_run, tmp_path: Path):
    """Runs of one variant with these validation scores; None for a run that diverged after the first two."""

    def make(*scores: list[float] | None, **summary: int) -> list[Result]:
        for seed, values in enumerate(scores):
            state = "diverged" if values is None else "finished"
            path = make_run(seed=seed, state=state, summary=summary, **{"trainer.batch_size": 4}) / "metrics.jsonl"
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            for line, value in zip(lines, values or [0.5, 0.001], strict=False):
                line["val/mse"] = value
            path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        (variant,), _ = read_variants(find_runs([tmp_path])[0])
        return read_results(variant)[0]

    return make


def times_of(results: list[Result], level: float | None = 0.01, unit: TimeUnit = "steps") -> TimesToSolve:
    times, skipped = times_to_solve(results, next(one for one in results if one.metric), level, unit)
    assert not skipped
    assert times is not None
    return times


def test_the_first_validation_that_reaches_the_level_counts_and_the_level_itself_does(runs_with):
    results = runs_with([0.5, 0.01, 0.5, 0.001], [0.5, 0.5, 0.5, 0.0101], [0.009] * 4)
    assert times_of(results) == TimesToSolve(0.01, "steps", (100, BUDGET, 50), (True, False, True), BUDGET)
    assert times_of(results, 0.5).times == (50, 50, 50)


def test_a_run_that_diverged_never_solves_the_task_whatever_it_reached_before(runs_with):
    times = times_of(runs_with([0.001] * 4, None))
    assert (times.times, times.solved) == ((50, BUDGET), (True, False))


def test_higher_scores_reach_the_level_from_below(make_run, tmp_path: Path):
    make_run(task="copying", score=0.99)  # the synthetic score rises in a straight line
    make_run(task="copying", seed=1, score=0.98)
    (variant,), _ = read_variants(find_runs([tmp_path])[0])
    results, _ = read_results(variant)
    assert times_of(results, 0.99).solved == (True, False)
    assert times_of(results, 0.49).times == (100, 100)


def test_seconds_and_flops(runs_with):
    results = runs_with([0.5, 0.001, 0.5, 0.5], [0.5] * 4, None, flops_per_step=1000, sequence_length=7)
    assert times_of(results, unit="seconds").times == pytest.approx([100 / SPEED, BUDGET / SPEED, BUDGET / SPEED])
    flops = times_of(results, unit="flops")
    assert flops.times == (100 * 1000 * 7 * 4, *[BUDGET * 1000 * 7 * 4] * 2)  # steps, a time step, T, B
    assert flops.budget == BUDGET * 1000 * 7 * 4


def test_runs_without_what_the_unit_needs_are_named(runs_with):
    results = runs_with([0.5] * 4)
    times, (skipped,) = times_to_solve(results, results[0], 0.01, "flops")
    assert times is None
    assert "flops_per_step and sequence_length" in skipped.reason


def test_runs_that_cannot_be_read_are_named_and_the_others_kept(runs_with):
    results = runs_with([0.001] * 4, [0.5] * 4, [0.5] * 4)
    (results[0].run.path / "metrics.jsonl").write_text('{"step": 50, "val/loss": 1.0}\n')
    (results[1].run.path / "metrics.jsonl").write_text('{"step": 50, "val/mse" 1.0}\n' * 2)
    times, skipped = times_to_solve(results, results[0], 0.01)
    assert times is not None
    assert times.solved == (False,)
    assert ["holds no val/mse" in skipped[0].reason, "is damaged" in skipped[1].reason] == [True, True]


def test_nothing_is_read_without_a_level(runs_with):
    results = runs_with([0.001] * 4)
    assert times_to_solve(results, results[0], None) == times_to_solve(results, None, 0.01) == (None, [])


def test_the_first_step_of_a_metric(make_run):
    run = read_run(make_run(score=0.4))  # 0.1, 0.2, 0.3, 0.4
    assert first_step(run, "val/mse", lambda value: value > 0.25) == 150
    assert first_step(run, "val/mse", lambda value: value > 1) == math.inf
    assert math.isnan(first_step(run, "val/other", lambda value: True))
