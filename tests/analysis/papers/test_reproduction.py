"""What runs say of the claims of a paper, on synthetic runs whose truth is known."""

from pathlib import Path

import pytest

from gatelab.analysis.papers.paper import Claim, Paper, Scale
from gatelab.analysis.papers.reproduction import as_record, evaluate, exit_status, summarise
from gatelab.runs import Run, read_run

SEARCH = {"optimizer.lr": "tag(log, interval(1e-4, 1e-2))", "model.dropout": "interval(0.0, 1.0)"}


def paper(comparison: str, arms: tuple[str, ...], quantity: str, margin: float = 0.0, select: float | None = None) -> Paper:
    claim = Claim("claim", "s", "s", "s", comparison, arms, quantity, margin, False, "")
    scale = Scale((), 1, 10 if select else 0, SEARCH if select else {}, 1.0, "estimated", (), {})
    return Paper(Path("mine"), "c", "l", "a", (), {}, select, {"reduced": scale}, {"claim": claim}, ())


@pytest.fixture
def runs(make_run):
    """Runs of two arms: `good` scores 0.1 better than `bad` in every trial; further arguments are states by trial."""

    def make(count: int = 10, **states: str) -> dict[str, list[Run]]:
        found = {}
        for arm, shift in (("good", 0.0), ("bad", 0.1)):
            found[arm] = []
            for trial in range(count):
                options = {"optimizer.lr": 10 ** (-4 + 0.2 * trial), "model.dropout": (7 * trial % 10) / 10}
                state = states.get(f"{arm}{trial}", "finished")
                path = make_run(
                    seed=0, score=0.01 * trial + shift, folder=arm, state=state, summary={"wall_seconds": 2.0}, **options
                )
                found[arm].append(read_run(path))
        return found

    return make


def test_the_best_share_counts_by_validation_score(runs) -> None:
    (judged,) = evaluate(paper("better", ("good", "bad"), "test mse", select=0.15), "reduced", runs(20))
    assert judged.verdict.decision == "holds"  # in every sample of the draws, which both arms share
    assert judged.verdict.n == (3, 3)
    assert judged.label == ""
    assert judged.values["good"] == pytest.approx([0.0, 0.01, 0.02])
    assert judged.verdict.figure.value == pytest.approx(0.1)


def test_a_trial_that_diverged_counts_behind_all_others(runs) -> None:
    """The best three of ten are three of ten, although only four finished; and what diverged among them decides nothing."""
    four = {f"good{trial}": "diverged" for trial in range(6)}
    (judged,) = evaluate(paper("below", ("good",), "test mse", 1.0, select=0.3), "reduced", runs(**four))
    assert judged.values["good"] == pytest.approx([0.06, 0.07, 0.08])
    two = {f"good{trial}": "diverged" for trial in range(8)}
    (judged,) = evaluate(paper("below", ("good",), "test mse", 1.0, select=0.3), "reduced", runs(**two))
    assert (judged.verdict.decision, judged.verdict.note) == ("undecided", "1 of the best runs has no finite value")


def test_outside_of_a_search_a_run_that_diverged_leaves_the_claim_open(runs) -> None:
    (judged,) = evaluate(paper("better", ("good", "bad"), "test mse"), "reduced", runs(bad3="diverged"))
    assert (judged.verdict.decision, judged.verdict.note) == ("undecided", "1 run has no finite value")
    assert exit_status([judged]) == 0
    assert summarise([judged]) == "0 of 1 claims hold, 1 is undecided"


@pytest.mark.filterwarnings("ignore")
def test_a_share_of_the_variance_from_few_runs_is_shown_and_not_tested(runs) -> None:
    (judged,) = evaluate(paper("above", ("good", "bad"), "share optimizer.lr", 0.9, select=0.3), "reduced", runs())
    assert (judged.verdict.decision, judged.verdict.n) == ("undecided", (10, 10))
    assert judged.verdict.note == "the error of such a share is not known for so few runs"
    assert {arm: len(values) for arm, values in judged.values.items()} == {"good": 1, "bad": 1}
    assert judged.verdict.figure == (min(judged.typical.values()), None, None)


def test_without_a_run_a_claim_is_open(runs) -> None:
    for quantity in ("test mse", "share optimizer.lr"):
        given = paper("below", ("good", "bad"), quantity, 1.0, select=0.3)
        (judged,) = evaluate(given, "reduced", {"good": runs()["good"], "bad": []})
        assert (judged.verdict.decision, judged.verdict.note) == ("undecided", "bad has no finished run")


def test_the_record_counts_what_finished_diverged_and_failed(runs) -> None:
    given, made = paper("better", ("good", "bad"), "test mse", select=0.3), runs(bad3="diverged")
    record = as_record(given, "reduced", evaluate(given, "reduced", made), made, {"bad": 1})
    assert {key: record["arms"]["bad"][key] for key in ("finished", "diverged", "failed")} == {
        "finished": 9,
        "diverged": 1,
        "failed": 1,
    }
    assert record["core_seconds"] == pytest.approx(19 * 2.0)
