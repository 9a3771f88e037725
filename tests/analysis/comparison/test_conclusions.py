"""What is said of the runs: every sentence against the numbers behind it."""

import re
from pathlib import Path

import pytest

from gatelab.analysis.comparison.conclusions import Conclusions, conclusions, listed
from gatelab.analysis.comparison.sections import sections
from gatelab.analysis.comparison.table import compare
from gatelab.runs import find_runs


def said_of(folder: Path, baseline: str | None = None) -> list[Conclusions]:
    return conclusions(compare(find_runs([folder])[0], baseline).rows, baseline)


def test_what_differs_and_what_does_not(make_run, tmp_path: Path):
    for seed, noise in enumerate((0.0, 0.01, -0.01, 0.02, -0.02)):
        make_run("lstm", seed=seed, score=0.2 + noise)
        make_run("gru", seed=seed, score=0.5 + noise * 1.5)
        make_run("cifg", seed=seed, score=0.2 + noise / 2 + 0.002)
    (conclusion,) = said_of(tmp_path, "lstm")
    by_name = {one.name: one for one in conclusion.compared}
    assert {name: one.judgement for name, one in by_name.items()} == {"gru": "worse", "cifg": "undecided"}
    gru, cifg = by_name["gru"], by_name["cifg"]
    assert gru.sentence.startswith("gru is worse than lstm by 0.300 ± 0.032 (95% interval; Dunnett")
    assert gru.sentence.endswith("adjusted p <0.001; n = 5).")
    assert cifg.sentence.startswith("cifg does not differ significantly from lstm (difference +0.002 ± 0.0")
    assert conclusion.sentences == [gru.sentence, "cifg does not differ significantly from lstm."]


def test_ratios_and_odds_are_said_as_such(make_run, tmp_path: Path):
    for seed in range(5):
        noise = 1 + 0.1 * seed
        make_run("lstm", seed=seed, score=0.2 * noise, summary={"scale": "log"})
        make_run("gru", seed=seed, score=0.02 * noise, summary={"scale": "log"})
        make_run("lstm", "copying", seed=seed, score=0.8 + 0.01 * seed, summary={"scale": "logit"})
        make_run("gru", "copying", seed=seed, score=0.6 + 0.01 * seed, summary={"scale": "logit"})
    adding, copying = said_of(tmp_path, "lstm")
    assert adding.sentences[0].startswith("gru is better than lstm: 0.1 times the mse (95% interval 0.0")
    assert copying.sentences[0].startswith("gru is worse than lstm: 0.3")
    assert " times the odds (95% interval 0." in copying.sentences[0]


def test_who_solves_the_task_earlier(make_run, tmp_path: Path):
    for seed in range(5):
        make_run("lstm", "copying", seed, score=1.0 if seed else 0.5, shape="any")
        make_run("gru", "copying", seed, score=2.0 + 0.1 * seed, shape="any")
    (conclusion,) = said_of(tmp_path, "lstm")
    assert conclusion.sentences[0].startswith(
        "gru is better than lstm: 5 of 5 runs solve the task in 0.5 times the steps (95% interval 0.5 to 0.5; "
    )
    assert conclusion.sentences[0].endswith("log-rank, adjusted p = 0.0079; n = 5).")
    (mirrored,) = said_of(tmp_path, "gru")
    assert mirrored.sentences[0].startswith("lstm is worse than gru: 4 of 5 runs solve the task in 2 times the steps")


def test_what_three_seeds_cannot_show(make_run, tmp_path: Path):
    for seed in range(3):
        make_run("lstm", "copying", seed, score=0.5 + 0.01 * seed, shape="any")
        make_run("gru", "copying", seed, score=0.9 + 0.01 * seed, shape="any")
        make_run("cifg", "copying", seed, score=0.51 + 0.01 * seed, shape="any")
    (conclusion,) = said_of(tmp_path, "lstm")
    assert conclusion.sentences == [
        "Nothing can be concluded about gru and cifg: with 3 seeds the exact Mann-Whitney test has an adjusted p of 0.1 at best; "
        "at least 5 seeds of each are needed to reach 0.05."
    ]


def test_pairs_without_the_same_seeds(make_run, tmp_path: Path):
    for seed in range(3):
        make_run("lstm", seed=seed, score=0.5 + 0.01 * seed)
        make_run("gru", seed=seed + 1, score=0.9 + 0.01 * seed)
    (conclusion,) = conclusions(compare(find_runs([tmp_path])[0], "lstm", paired=True).rows, "lstm")
    assert conclusion.sentences[0] == "Not compared with lstm: gru (pairs need the same seeds, each once, on both sides)."


@pytest.mark.parametrize(("task", "judgement"), [("adding", "worse"), ("copying", "better")])
def test_the_direction_of_the_metric_counts(make_run, tmp_path: Path, task: str, judgement: str):
    for seed in range(5):
        make_run("lstm", task, seed, score=0.2 + 0.01 * seed)
        make_run("gru", task, seed, score=0.7 - 0.01 * seed)
    (conclusion,) = said_of(tmp_path, "lstm")
    assert [one.judgement for one in conclusion.compared] == [judgement]
    assert f"gru is {judgement} than lstm by 0.460 ± " in conclusion.sentences[0]


def test_small_n_is_said(make_run, tmp_path: Path):
    for seed in range(3):
        make_run("lstm", seed=seed, score=0.2 + 0.01 * seed)
        make_run("gru", seed=seed, score=0.25 - 0.02 * seed)
    (conclusion,) = said_of(tmp_path, "lstm")
    assert conclusion.sentences[-1].startswith("With 3 seeds an interval rests on the assumption that scores are normal")


def test_a_single_seed_is_not_tested(make_run, tmp_path: Path):
    make_run("lstm", score=0.2)
    make_run("gru", score=0.3)
    (conclusion,) = said_of(tmp_path, "lstm")
    assert conclusion.compared[0].judgement == "untested"
    assert conclusion.sentences == [
        "Not compared with lstm: gru (a test needs two seeds of each side).",
        "With 1 seed there is neither an interval nor a test.",
    ]


def test_diverged_and_failed_runs_are_said(make_run, tmp_path: Path):
    for seed in range(5):
        make_run("lstm", seed=seed, score=0.2 + 0.01 * seed)
        make_run("gru", seed=seed, score=0.3 + 0.01 * seed, state="finished" if seed < 3 else "diverged")
    make_run("lstm", seed=9, state="failed")
    (conclusion,) = said_of(tmp_path, "lstm")
    (gru,) = conclusion.compared
    assert (gru.row.n, gru.row.diverged, gru.row.failed, gru.judgement) == (5, 2, 0, "worse")
    assert (gru.row.mean, gru.row.odd) == (None, "2 of 5 runs diverged")
    assert gru.sentence == (
        "gru is worse than lstm (it beats the baseline in 0% of the pairs of runs; Mann-Whitney, adjusted p = 0.0079; n = 5)."
    )
    assert conclusion.sentences[1:] == [
        "2 of 5 runs of gru diverged and are ranked last.",
        "Failed runs are not counted: 1 of lstm.",
    ]


def test_every_task_has_its_own_conclusions(messy: Path):
    found = said_of(messy, "lstm")
    assert [one.title for one in found] == ["adding", "copying"]
    untested = found[1].compared[-1]
    assert untested.sentence == "cifg was not compared with lstm: no finished run."


def test_without_a_baseline(make_run, tmp_path: Path):
    for seed in range(5):
        make_run("lstm", seed=seed, score=0.2 + 0.01 * seed)
        make_run("gru", seed=seed, score=0.3 + 0.01 * seed)
    (conclusion,) = said_of(tmp_path)
    assert conclusion.compared == []
    assert conclusion.sentences == ["The best mean is that of lstm.", "No baseline was named, so that nothing was tested."]


def test_a_baseline_without_a_result(make_run, tmp_path: Path):
    make_run("lstm", state="running")
    make_run("gru", score=0.3)
    (conclusion,) = said_of(tmp_path, "lstm")
    assert conclusion.sentences[0] == "There is no finished run of lstm, so that nothing was tested."


def test_no_rows():
    assert conclusions([]) == []


def test_lists_in_words():
    assert [listed(names) for names in ([], ["a"], ["a", "b"], ["a", "b", "c"])] == ["nothing", "a", "a and b", "a, b and c"]


def demo(make_run) -> None:
    """As the demo: a task that some runs solve, and one whose scores scatter around one value on its scale."""
    for seed in range(6):
        make_run("lstm", "copying", seed, score=1.0 + 0.05 * seed if seed > 1 else 0.5, shape="any")
        make_run("gru", "copying", seed, score=2.0 + 0.1 * seed, shape="any")
        make_run("cifg", "copying", seed, score=0.4 + 0.01 * seed, shape="any")
        for cell, level in (("lstm", 0.2), ("gru", 0.05), ("cifg", 0.21)):
            make_run(cell, seed=seed, score=level * (1 + 0.05 * seed), summary={"scale": "log"})


def linear(make_run) -> None:
    for seed in range(5):
        for cell, level in (("lstm", 0.2), ("gru", 0.5)):
            make_run(cell, seed=seed, score=level + 0.01 * seed)
            make_run(cell, "copying", seed, score=0.9 - level + 0.01 * seed, shape="any")


@pytest.mark.parametrize("runs", [demo, linear])
def test_every_number_of_a_conclusion_stands_in_its_table(runs, make_run, tmp_path: Path):
    runs(make_run)
    rows = compare(find_runs([tmp_path])[0], "lstm").rows
    for section, conclusion in zip(sections(rows), conclusions(rows, "lstm"), strict=True):
        shown = set(re.findall(r"[\d.,]*\d%?|∞", " ".join([section.subtitle, *(text for row in section.cells for text in row)])))
        shown |= {"95%", *(part for text in shown for part in text.rstrip("%").split("/"))}
        shown |= {
            number for text in [cell for row in section.cells for cell in row] for number in re.findall(r"\d+(?=/)|(?<=/)\d+", text)
        }
        for sentence in conclusion.sentences:
            if "at best" not in sentence:  # what a test could reach stands in no table
                assert set(re.findall(r"[\d.,]*\d%?|∞", sentence)) <= shown, sentence
