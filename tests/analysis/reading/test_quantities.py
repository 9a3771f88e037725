"""Numbers of runs that claims are about, on run directories whose numbers are known."""

import math
from pathlib import Path

import numpy as np
import pytest

from gatelab.analysis.importance.variance import variance_shares
from gatelab.analysis.reading.quantities import check_quantity, of_search, of_variance, quantity
from gatelab.errors import UserError
from gatelab.runs import Run, RunWriter, read_run


@pytest.fixture
def run(make_run) -> Run:
    path = make_run(score=0.25)
    writer = RunWriter(path)
    for step, value in ((1000, 4.0), (1100, 0.5), (1200, 9.0), (1300, 2.0)):
        writer.append("metrics.jsonl", {"step": step, "own/metric": value})
    writer.close()
    return read_run(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("test mse", 0.25),
        ("val mse", 0.25),
        ("test mse / chance", 0.25 * 6),
        ("first own/metric", 4.0),
        ("last own/metric", 2.0),
        ("max own/metric", 9.0),
        ("min own/metric", 0.5),
        ("log last own/metric", math.log(2)),
        ("steps own/metric < 1", 1100),
        ("steps own/metric > 8.5", 1200),
        ("log steps own/metric < 1e0", math.log(1100)),
    ],
)
def test_quantities(run: Run, text: str, expected: float) -> None:
    check_quantity(text)
    assert quantity(text, run) == pytest.approx(expected)
    assert not of_search(text)


def test_a_level_never_reached_takes_the_whole_run(run: Run) -> None:
    assert quantity("steps own/metric < 0.1", run) == run.config["trainer"]["max_steps"]


def test_what_was_not_recorded_is_no_number(run: Run) -> None:
    assert math.isnan(quantity("last own/other", run))
    assert math.isnan(quantity("test recall", run))
    assert math.isnan(quantity("test recall / chance", run))
    assert math.isnan(quantity("log test recall", run))


@pytest.mark.parametrize("text", ["", "mse", "mean own/metric", "steps own/metric = 3", "test"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UserError, match=r"is not a quantity\. Quantities are written as in"):
        check_quantity(text)


def test_a_run_that_diverged_has_no_number(make_run) -> None:
    run = read_run(make_run(state="diverged"))
    for text in ("test mse", "last grad/norm", "steps val/mse < 100"):
        assert math.isnan(quantity(text, run))


def test_quantities_of_a_search() -> None:
    shares = {"optimizer.lr": 0.5, "model.dropout": 0.2, "optimizer.momentum": 0.05}
    for text, expected in (
        ("share optimizer.lr", 0.5),
        ("share interactions", 0.25),
        ("lead optimizer.lr", 0.3),
        ("lead model.dropout", -0.3),
    ):
        check_quantity(text, shares)
        assert of_search(text)
        assert of_variance(text, shares)[2] == pytest.approx(expected)
    with pytest.raises(UserError, match=r"Unknown option of the search 'model.dropot'\. Did you mean 'model.dropout'"):
        check_quantity("share model.dropot", shares)
    with pytest.raises(UserError, match="is not of a single run"):
        quantity("share optimizer.lr", Run(Path(), {}, {"state": "finished"}))


SEARCH = {
    "optimizer.lr": "tag(log, interval(1e-4, 1e-2))",
    "model.dropout": "interval(0.0, 1.0)",
    "optimizer.momentum": "tag(log, one_minus, interval(0.01, 1.0))",
}


@pytest.fixture
def trials(make_run):
    """120 trials whose score is a function of log10(lr) + 4 and the dropout, both scaled to (0, 1); some of them diverge."""

    def make(score, diverged=lambda lr, dropout: False):
        generator = np.random.default_rng(0)
        runs = []
        for number, (lr, dropout, momentum) in enumerate(generator.random((120, 3))):
            options = {"optimizer.lr": 10 ** (-4 + 2 * lr), "model.dropout": dropout, "optimizer.momentum": 1 - 0.01**momentum}
            state = "diverged" if diverged(lr, dropout) else "finished"
            settings = {"score": score(lr, dropout), "state": state, "summary": {"chance": 10.0}, "folder": "search"}
            runs.append(read_run(make_run(seed=number, **settings, **options)))
        return runs

    return make


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("score", "expected"),
    [
        (lambda lr, dropout: 4 * lr + 4 * dropout, (0.5, 0.5, 0.0)),
        (lambda lr, dropout: 4 * lr, (1.0, 0.0, 0.0)),
        (lambda lr, dropout: 5 + 4 * np.sign(lr - 0.5) * np.sign(dropout - 0.5), (0.0, 0.0, 1.0)),
    ],
    ids=["sum", "one", "interaction"],
)
def test_variance_shares_of_a_known_function(trials, score, expected) -> None:
    shares = variance_shares(trials(score), SEARCH)
    found = [of_variance(f"share {what}", shares)[2] for what in ("optimizer.lr", "model.dropout", "interactions")]
    assert found == pytest.approx(expected, abs=0.2)  # what a forest sees of 120 points
    assert shares["optimizer.momentum"] < 0.05


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_how_far_off_a_trial_is_says_nothing(trials) -> None:
    """Beyond dropout 0.9 a score is a thousand times chance, or not finite at all: to both it is the same as chance."""
    bad = lambda lr, dropout: dropout > 0.9  # noqa: E731
    far = variance_shares(trials(lambda lr, dropout: 1e4 if bad(lr, dropout) else 8 * lr), SEARCH)
    assert far["optimizer.lr"] > 0.5
    assert variance_shares(trials(lambda lr, dropout: 8 * lr, bad), SEARCH) == far


@pytest.mark.slow
def test_too_few_trials_and_trials_that_are_all_at_chance(trials) -> None:
    runs = trials(lambda lr, dropout: 11 + lr)
    with pytest.raises(UserError, match="at least 4 trials"):
        variance_shares(runs[:3], SEARCH)
    assert all(map(math.isnan, variance_shares(runs, SEARCH).values()))
