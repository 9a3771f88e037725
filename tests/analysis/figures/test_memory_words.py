"""The sentences in front of the report: what they claim, and what they do not."""

from pathlib import Path

import pytest
from analysis.synthetic import change_records

from gatelab.analysis.comparison.table import compare
from gatelab.analysis.figures.from_runs import read_problems
from gatelab.analysis.figures.memory_words import memory_words
from gatelab.runs import find_runs


@pytest.fixture
def said(tmp_path: Path):
    def words() -> str:
        (problem,), _ = read_problems(compare(find_runs([tmp_path / "runs"])[0]))
        return " ".join(memory_words(problem))

    return words


def test_a_difference_that_holds(make_run, said):
    for seed in range(3):
        make_run("lstm", seed=seed, keeps=0.80 + 0.01 * seed)
        make_run("gru", seed=seed, keeps=0.95 + 0.001 * seed)
    # The median of 1 / (1 - k unit / 8) over the units, mean over the seeds.
    assert "gru keeps its state longest, through its update gate: its median unit for 2.19 steps." in said()
    assert "It is followed by lstm 1.85." in said()
    assert "The lead of gru over lstm holds over the seeds (a factor of 1.18, 95% interval" in said()


def test_a_difference_that_may_be_chance(make_run, said):
    for seed in range(3):
        make_run("lstm", seed=seed, keeps=0.5 + 0.2 * seed)
        make_run("gru", seed=seed, keeps=0.55 + 0.2 * seed)
    assert "The lead of gru over lstm may be chance" in said()


def test_one_seed(make_run, said):
    make_run("lstm", keeps=0.8)
    make_run("gru", keeps=0.9)
    assert "One seed cannot tell whether that is chance." in said()


def test_the_gate_that_chooses(make_run, said):
    make_run("lstm")
    assert "Its input gate discriminates most: 0.75 at the task's events, 0.45 elsewhere." in said()


def test_half_lives_within_the_sequence(make_run, said):
    make_run("lstm")
    assert "The steps in which the gradient of a loss at the end halves: lstm 2." in said()


def test_a_half_life_beyond_the_sequence_is_no_number(make_run, said):
    change_records(make_run("lstm") / "metrics.jsonl", **{"flow_end/0/state/half_life": 500.0})
    assert "loses less than half over the 10 steps of the sequence in lstm." in said()
    assert "500" not in said()
    make_run("gru")
    assert (
        "in which the gradient of a loss at the end halves: gru 2; over the 10 steps of the sequence it hardly decays in lstm."
        in said()
    )


def test_runs_without_probes_say_nothing(make_run, said):
    (make_run("lstm") / "arrays.jsonl").unlink()
    assert said() == ""
