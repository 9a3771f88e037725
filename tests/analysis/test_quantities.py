"""Numbers of runs that claims are about, on run directories whose numbers are known."""

import math

import numpy as np
import pytest

from gatelab.analysis.quantities import check_quantity, importances, of_search, quantity, variance_share
from gatelab.registry import UserError
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_variance_shares_of_a_known_function(make_run) -> None:
    """Half of the variance of 3 log10(lr) + 6 dropout is of each, if lr is log-uniform over two decades and dropout uniform."""
    generator = np.random.default_rng(0)
    runs = []
    for number, (u, dropout, momentum) in enumerate(generator.random((120, 3))):
        options = {"optimizer.lr": 10 ** (-4 + 2 * u), "model.dropout": dropout, "optimizer.momentum": 1 - 0.01**momentum}
        runs.append(read_run(make_run(seed=number, score=3 * 2 * u + 6 * dropout, folder="search", **options)))
    search = {
        "optimizer.lr": "tag(log, interval(1e-4, 1e-2))",
        "model.dropout": "interval(0, 1)",
        "optimizer.momentum": "tag(log, one_minus, interval(0.01, 1.0))",
    }
    assert of_search("share optimizer.lr")
    shares = importances(runs, search)
    assert shares["optimizer.lr"] == pytest.approx(0.5, abs=0.1)
    assert shares["model.dropout"] == pytest.approx(0.5, abs=0.1)
    assert shares["optimizer.momentum"] < 0.05
    assert variance_share("share optimizer.lr", runs, search) == shares["optimizer.lr"]
    with pytest.raises(UserError, match="was not searched over"):
        variance_share("share trainer.clip_norm", runs, search)
    with pytest.raises(UserError, match="at least 4 trials"):
        importances(runs[:3], search)
