"""The sentences of a report: for each, runs of which it must be said, and runs of which it must not."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from analysis.synthetic import change_records

from gatelab.analysis.comparison.table import compare
from gatelab.analysis.figures import CHAPTERS, FIGURES, Figure
from gatelab.analysis.figures.from_runs import read_problems
from gatelab.analysis.figures.memory_words import IN_SHORT, SENTENCES, memory_words
from gatelab.runs import find_runs

CHANCE, LEARNT, SOLVED = 0.2, 0.1, 0.005  # of adding, where chance is 1/6
Make = Callable[..., Path]


def three(make_run: Make, cell: str, keeps: float, score: float = SOLVED, spread: float = 0.01, **records: float) -> None:
    """Three seeds that differ a little, on a task with a lag of four steps."""
    for seed in range(3):
        path = make_run(cell, seed=seed, score=score + 0.0001 * seed, keeps=keeps + spread * (seed - 1), summary={"lag": 4})
        if records:
            moved = {key: value + 0.001 * seed * place for place, (key, value) in enumerate(records.items())}
            change_records(path / "metrics.jsonl", **moved)


def halving(make_run: Make, cell: str, *half_lives: float) -> None:
    """A seed for each half-life of the gradient."""
    for seed, steps in enumerate(half_lives):
        path = make_run(cell, seed=seed, score=SOLVED)
        change_records(path / "arrays.jsonl", **{"flow_end/0/state/norm": [0.5 ** (lag / steps) for lag in range(10)]})


def two_that_differ(make_run: Make, **options: float) -> None:
    three(make_run, "lstm", 0.80, **options)
    three(make_run, "gru", 0.95, **options)


def two_within_the_noise(make_run: Make) -> None:
    three(make_run, "lstm", 0.80, spread=0.1)
    three(make_run, "gru", 0.82, spread=0.1)


def a_tape(make_run: Make, score: float = SOLVED, window: int | None = 16) -> None:
    make_run("attention", score=score, summary={"tape": {"window": window}})


def reading(make_run: Make, there: float, elsewhere: float) -> None:
    three(make_run, "lstm", 0.8, **{"gate/0/input/at_events": there, "gate/0/input/elsewhere": elsewhere})


def switching(make_run: Make, *there: float) -> None:
    """Seeds whose input gate does not agree on what it does at events."""
    for seed, value in enumerate(there):
        path = make_run("lstm", seed=seed, score=SOLVED)
        change_records(path / "metrics.jsonl", **{"gate/0/input/at_events": value, "gate/0/input/elsewhere": 0.45})


def half_learnt(make_run: Make) -> None:
    for seed, score in enumerate((SOLVED, SOLVED, CHANCE)):
        make_run("lstm", seed=seed, score=score)
    three(make_run, "gru", 0.9, CHANCE)


# By name: runs of which the sentence must be said, with its words; runs of which it must not.
SAID: dict[str, list[tuple[Callable[[Make], object], str]]] = {
    "not learnt": [
        (half_learnt, "Sentences on memory are about the runs that have learnt the task: 2 of 3 of lstm and none of gru."),
        (
            lambda make: make("lstm", score=CHANCE),
            "No run has learnt this task, so the report makes no statement on memory.",
        ),
    ],
    "longest unit": [
        (
            two_that_differ,
            "The longest unit of gru keeps its state for 19.5 steps, through its update gate, longer than that of lstm (4.48).",
        ),
        (
            lambda make: make("lstm", score=SOLVED),
            "The longest unit of lstm keeps its state for 9.49 steps, through its forget",
        ),
    ],
    "left over the lag": [
        (two_that_differ, "Over the 4 steps that the task asks for, gru keeps 81% of its state, more than lstm (41%)."),
        (lambda make: three(make, "lstm", 0.8), "Over the 4 steps that the task asks for, lstm keeps 41% of its state."),
    ],
    "tape": [
        (a_tape, "attention also reads its states of the last 16 steps back: a memory that no timescale of a gate measures."),
        (lambda make: a_tape(make, window=None), "attention also reads its states of all earlier steps back"),
    ],
    "gradient": [
        (lambda make: make("lstm", score=SOLVED), "The gradient of a loss at the end takes 2 steps to halve in lstm."),
        (lambda make: halving(make, "lstm", 99), "does not halve within the 9 steps before it in lstm."),
        (
            lambda make: (halving(make, "lstm", 1.5, 1.6, 1.7), halving(make, "gru", 5, 5.5, 6)),
            "The gradient of a loss at the end takes 5.5 steps to halve in gru, longer than in lstm (1.6).",
        ),
        (
            lambda make: (halving(make, "lstm", 0.5, 0.6, 0.7), halving(make, "gru", 99, 99, 99)),
            "The gradient of a loss at the end takes more than 9 steps to halve in gru, longer than in lstm (under 1).",
        ),
        (  # the median of what halves and of what does not is not in between
            lambda make: (halving(make, "lstm", 0.5, 0.6, 0.7, 0.8), halving(make, "gru", 7, 8, 99, 99)),
            "The gradient of a loss at the end takes more than 9 steps to halve in gru, longer than in lstm (under 1).",
        ),
    ],
    "events": [
        (
            lambda make: reading(make, 0.75, 0.45),
            "In lstm, the input gate tells the task's events from other steps: mean 0.75 there, 0.45",
        ),
    ],
}
SILENT: dict[str, list[Callable[[Make], object]]] = {
    "not learnt": [two_that_differ],
    "longest unit": [
        two_within_the_noise,
        lambda make: two_that_differ(make, score=CHANCE),
        lambda make: two_that_differ(make, spread=0.0),  # nothing is decided from zero variance
        lambda make: (make("lstm", score=SOLVED, keeps=0.5), make("gru", score=SOLVED, keeps=0.95)),  # one seed each
        lambda make: (three(make, "gru", 0.95), three(make, "lstm", 0.8, CHANCE)),  # nothing left to compare it with
    ],
    "left over the lag": [
        two_within_the_noise,
        lambda make: two_that_differ(make, score=CHANCE),
        lambda make: make("lstm", score=SOLVED),  # a task without a lag
    ],
    "tape": [
        lambda make: a_tape(make, CHANCE),
        lambda make: a_tape(make, window=1),  # only the state itself
        lambda make: make("lstm", score=SOLVED),
        lambda make: (make("gru", score=SOLVED), a_tape(make)),  # without a sentence on the state it would stand alone
    ],
    "gradient": [
        lambda make: make("lstm", score=CHANCE),
        lambda make: (halving(make, "lstm", 1.5, 3, 6), halving(make, "gru", 2, 4, 7)),
        # All beyond the sequence: their order is not known.
        lambda make: (halving(make, "lstm", 20, 21, 22), halving(make, "gru", 90, 91, 92)),
    ],
    "events": [
        lambda make: reading(make, 0.72, 0.71),  # sure, but too small
        lambda make: switching(make, 0.9, 0.45, 0.5),  # large in one seed
        lambda make: three(make, "lstm", 0.8, CHANCE),
        lambda make: make("lstm", score=SOLVED),  # one seed
    ],
}


def words_of(folder: Path) -> list[str]:
    (problem,), _ = read_problems(compare(find_runs([folder / "runs"])[0]))
    return [words for _, make in SENTENCES.values() if (words := make(problem))]


def test_every_sentence_has_runs_for_and_against():
    assert SAID.keys() == SILENT.keys() == SENTENCES.keys()


@pytest.mark.parametrize(("name", "case"), [(name, case) for name in SAID for case in range(len(SAID[name]))])
def test_a_sentence_is_said(name: str, case: int, make_run, tmp_path: Path):
    runs, words = SAID[name][case]
    runs(make_run)
    (problem,), _ = read_problems(compare(find_runs([tmp_path / "runs"])[0]))
    place, make = SENTENCES[name]
    assert words in make(problem)
    assert make(problem) in memory_words(problem, place)


@pytest.mark.parametrize(("name", "case"), [(name, case) for name in SILENT for case in range(len(SILENT[name]))])
def test_a_sentence_is_not_said(name: str, case: int, make_run, tmp_path: Path):
    SILENT[name][case](make_run)
    (problem,), _ = read_problems(compare(find_runs([tmp_path / "runs"])[0]))
    assert SENTENCES[name][1](problem) == ""


def test_sentences_stand_in_the_opening_or_in_a_chapter():
    assert {place for place, _ in SENTENCES.values()} <= {IN_SHORT, *CHAPTERS}


def test_runs_without_probes_say_nothing(make_run, tmp_path: Path):
    (make_run("lstm", score=SOLVED) / "arrays.jsonl").unlink()
    assert words_of(tmp_path) == []


def test_words_are_about_the_runs_that_have_learnt(make_run, tmp_path: Path):
    """The run at chance keeps nothing, and does not count."""
    for seed, (score, keeps) in enumerate(((SOLVED, 0.9), (SOLVED, 0.9), (CHANCE, 0.1))):
        make_run("lstm", seed=seed, score=score, keeps=keeps)
    assert "The longest unit of lstm keeps its state for 9.49 steps" in " ".join(words_of(tmp_path))


# The figures that stand beside the sentences; a window ("tape") is an option of the cell, and no figure shows it.
BESIDE = ("memory", "gradient-lag", "gate-events")
MEASURED = [name for name in SAID if name != "tape"]


def readable(figure: Figure) -> set[str]:
    """The numbers that stand in a figure as text."""
    texts = [panel.title for panel in figure.panels]
    texts += [str(word) for panel in figure.panels for word in panel.y.categories or ()]
    texts += [series.note for panel in figure.panels for series in panel.series]
    return {number for text in texts for number in re.findall(r"[\d.,]*\d%?", text)}


@pytest.mark.parametrize(("name", "case"), [(name, case) for name in MEASURED for case in range(len(SAID[name]))])
def test_every_number_of_a_sentence_stands_in_a_figure(name: str, case: int, make_run, tmp_path: Path):
    SAID[name][case][0](make_run)
    (problem,), _ = read_problems(compare(find_runs([tmp_path / "runs"])[0]))
    figures = [found for figure in BESIDE if (found := FIGURES[figure](problem)) is not None]
    shown = set().union(*map(readable, figures))
    said = re.findall(r"[\d.,]*\d%?", SENTENCES[name][1](problem))
    assert set(said) <= shown


def test_figures_show_the_runs_that_sentences_are_about(make_run, tmp_path: Path):
    """Of three runs one is at chance, and keeps nothing."""
    for seed, (score, keeps) in enumerate(((SOLVED, 0.9), (SOLVED, 0.91), (CHANCE, 0.1))):
        make_run("lstm", seed=seed, score=score, keeps=keeps)
    three(make_run, "gru", 0.3, CHANCE)
    (problem,), _ = read_problems(compare(find_runs([tmp_path / "runs"])[0]))
    figure = FIGURES["memory"](problem)
    assert figure is not None
    assert figure.caption.endswith("Shown are the runs that have learnt the task; of a variant at chance, all of them.")
    names = figure.panels[0].y.categories
    assert names == ["lstm (2/3)", "gru (at chance)"]
    for name in ("timescales", "retention", "gradient-lag", "gate-events"):
        drawn = FIGURES[name](problem)
        assert drawn is None or "Shown are the runs that have learnt" in drawn.caption


def test_sentences_on_many_tasks_need_more(make_run, tmp_path: Path):
    """All differences that the sentences of a report could name are one family."""
    two_that_differ(make_run)
    (problem,), _ = read_problems(compare(find_runs([tmp_path / "runs"])[0]))
    many = dataclasses.replace(problem, together=1_000_000)
    for name in ("longest unit", "left over the lag"):
        assert SENTENCES[name][1](problem)
        assert not SENTENCES[name][1](many)


def test_captions_say_nothing_of_runs_that_are_all_shown(make_run, tmp_path: Path):
    two_that_differ(make_run)
    (problem,), _ = read_problems(compare(find_runs([tmp_path / "runs"])[0]))
    assert not any("Shown are the runs" in found.caption for figure in FIGURES.values() if (found := figure(problem)) is not None)
