"""Which runs have learnt: better than chance beyond what the test split does, and better than the constant on it."""

from pathlib import Path
from typing import Any

import pytest

from gatelab.analysis.reading.learnt import learnt_runs
from gatelab.analysis.reading.results import Result
from gatelab.runs import Run

CHANCE = 1 / 6


def result(score: float, error: float | None = 0.003, seed: int = 0, **fields: Any) -> Result:
    given = {"chance": CHANCE, "solved": 0.01, "test_error": error, "test_parts": 64, "constant": 0.1641} | fields
    return Result(Run(Path(f"s{seed}"), {}, {}), "mse", fields.pop("higher_is_better", False), score, **given)


@pytest.mark.parametrize(
    ("one", "learnt"),
    [
        (result(0.001), True),
        (result(0.15), True),
        (result(0.162), False),  # its interval reaches chance
        (result(0.16456, error=0.0001), False),  # excludes chance, and is worse than a constant on the same split
        (result(0.16456, error=0.0001, constant=None), True),
        (result(0.3), False),
        (result(float("nan")), False),
        (result(0.05, error=None), False),  # one seed, not solved, nothing to judge it by
        (result(0.005, error=None), True),
        (result(0.05, chance=None, constant=None), True),
        (result(0.05, test_parts=1), False),
    ],
)
def test_a_run_alone(one: Result, learnt: bool):
    assert learnt_runs([one]) == ([one.run] if learnt else [])


def test_higher_scores_count_the_other_way():
    high, low = (
        Result(Run(Path("s"), {}, {}), "accuracy", True, score, 0.087, solved=0.95, constant=0.09, test_error=0.02, test_parts=19)
        for score in (0.8, 0.12)
    )
    assert learnt_runs([high, low]) == [high.run]


def test_runs_of_one_variant_are_judged_each_for_itself():
    some = [result(0.001, seed=0), result(0.1645, seed=1), result(0.002, seed=2)]
    assert [run.path.name for run in learnt_runs(some)] == ["s0", "s2"]


def test_without_the_error_of_the_test_split_the_seeds_decide():
    together = [result(0.1 + 0.001 * seed, error=None, seed=seed) for seed in range(3)]
    assert len(learnt_runs(together)) == 3
    apart = [result(score, error=None, seed=seed) for seed, score in enumerate((0.1, 0.16, 0.2))]
    assert learnt_runs(apart) == []
    assert learnt_runs([]) == []
