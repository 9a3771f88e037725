"""The importance of options: shares that are known, what they rest on in words, and the command."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import spearmanr

from gatelab.analysis.importance.importance import dependence, importances
from gatelab.cli.main import main
from gatelab.runs import Run, read_run
from gatelab.runs.sweep import write_plan

SEARCH = {"optimizer.lr": "tag(log, interval(1e-4, 1e-2))", "model.dropout": "interval(0.0, 1.0)"}
COMMAND = ["-m", "hydra/sweeper=random", "cell=lstm", *(f"{key}={text}" for key, text in SEARCH.items()), "sweep=s"]

MakeSearch = Callable[..., list[Run]]


def weighted(lr: float, dropout: float) -> float:
    """Of uniform numbers: variances 0.81 : 0.19."""
    return 0.9 * lr + 0.19**0.5 * dropout


@pytest.fixture
def search(make_run) -> MakeSearch:
    """So many runs of a random search over learning rate and dropout, both scaled to (0, 1) for the score, and its plan.

    Chance is just above the worst score of `weighted`.
    """

    def make(
        count: int,
        score: Callable[[float, float], float] = weighted,
        together: bool = False,
        states: dict[int, str] | None = None,
        plan: bool = True,
        **options: Any,
    ) -> list[Run]:
        generator = np.random.default_rng(0)
        found = []
        for number in range(count):
            lr, dropout = generator.random(2)
            dropout = (lr + 0.3 * dropout) / 1.3 if together else dropout
            drawn = {"optimizer.lr": 10 ** (-4 + 2 * lr), "model.dropout": dropout, "sweep": "s"} | options
            state = (states or {}).get(number, "finished")
            path = make_run(score=score(lr, dropout), summary={"chance": 1.4}, state=state, **drawn)
            if plan:
                write_plan({path: read_run(path).config}, arguments=COMMAND)
            found.append(read_run(path))
        return found

    return make


@pytest.mark.slow
def test_shares_that_are_known(search: MakeSearch) -> None:
    (found,) = importances(search(120), {"s": SEARCH}, resamples=0)
    assert found.shares["optimizer.lr"].value == pytest.approx(0.81, abs=0.05)
    assert found.shares["model.dropout"].value == pytest.approx(0.19, abs=0.08)  # a forest smoothes small effects away
    assert found.interactions.value == pytest.approx(0, abs=0.08)
    assert found.correlated == []


@pytest.mark.slow
def test_an_interval_is_of_the_runs_and_narrower_with_more_of_them(search: MakeSearch) -> None:
    noisy = lambda lr, dropout: weighted(lr, dropout) / 2 + 0.2 * np.sin(1e6 * lr)  # noqa: E731
    widths = []
    for count in (24, 96):
        (found,) = importances(search(count, noisy), {"s": SEARCH}, resamples=12)
        for share in (*found.shares.values(), found.interactions):
            assert share.low is not None and share.high is not None
            assert share.low <= share.value <= share.high
        lr = found.shares["optimizer.lr"]
        widths.append(lr.high - lr.low)  # type: ignore[operator]
    assert widths[1] < 0.8 * widths[0]


@pytest.mark.slow
def test_what_is_printed(search: MakeSearch, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    search(20, states={3: "diverged"})
    monkeypatch.chdir(tmp_path)
    for given in (["runs"], ["s"], ["runs/sweeps/s"]):
        assert main(["importance", *given, "--resamples", "3"]) == 0
        said = " ".join(capsys.readouterr().out.split())
        assert "lstm adding: val mse over 20 runs" in said
        assert said.index("optimizer.lr") < said.index("model.dropout") < said.index("interactions")
        assert "tag(log, interval(1e-4, 1e-2))" in said
        assert "The shares rest on 20 runs. 1 of them diverged and count as chance." in said
        assert "model.dropout not determined from 20 runs" in said
        assert "draws expected best val mse (95%) 1 " in said
        assert "is not known" not in said
        assert "not drawn independently" not in said


@pytest.mark.slow
def test_numbers_for_other_programs(search: MakeSearch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = search(12)
    status = runs[5].path / "status.json"
    status.write_text(json.dumps(json.loads(status.read_text()) | {"state": "pruned"}))
    assert main(["importance", str(tmp_path / "runs"), "--format", "json", "--resamples", "3", "--metric", "test mse"]) == 0
    out, err = capsys.readouterr()
    (item,) = json.loads(out)
    assert (item["cell"], item["task"], item["metric"], item["n"]) == ("lstm", "adding", "test mse", 11)
    assert item["shares"].keys() == SEARCH.keys()
    assert item["search"] == SEARCH
    lr = item["shares"]["optimizer.lr"]
    assert (lr["low"], lr["high"], lr["determined"]) == (None, None, False)  # of so few runs the error is not known
    assert item["budget"] is None  # its direction is that of the validation score
    assert sum(share["value"] for share in item["shares"].values()) + item["interactions"]["value"] == pytest.approx(1)
    assert "1 runs that a search ended early (pruned) are left out." in err
    assert main(["importance", str(tmp_path / "runs"), "--format", "json", "--resamples", "3", "--metric", "test mse"]) == 0
    assert capsys.readouterr().out == out  # the same seed, the same numbers


@pytest.mark.slow
def test_without_a_plan_the_values_say_how_they_were_drawn(search: MakeSearch) -> None:
    runs = search(30, plan=False)
    (found,) = importances(runs, {}, resamples=0)
    assert found.search["optimizer.lr"].startswith("tag(log, interval(")
    assert found.search["model.dropout"].startswith("interval(")
    assert any("it was read off their values" in note for note in found.notes)


@pytest.mark.slow
def test_options_that_were_drawn_together_are_named(search: MakeSearch) -> None:
    (found,) = importances(search(30, together=True), {"s": SEARCH}, resamples=0)
    ((a, b, value),) = found.correlated
    assert {a, b} == SEARCH.keys()
    assert value > 0.9
    assert any(f"not drawn independently of each other share what they explain: {a} and {b}" in line for line in found.warnings)


@pytest.mark.slow
def test_what_was_fixed_tells_groups_apart_and_seeds_do_not(search: MakeSearch) -> None:
    runs = search(6) + search(6, seed=1) + search(6, **{"model.hidden_size": 8})
    found = importances(runs, {"s": SEARCH}, resamples=0)
    assert [(item.options, item.n) for item in found] == [({"model.hidden_size": "64"}, 12), ({"model.hidden_size": "8"}, 6)]


@pytest.mark.slow
@pytest.mark.parametrize("plan", [True, False])
def test_trials_of_other_equations_are_not_mixed(search: MakeSearch, plan: bool) -> None:
    runs = []
    for digest in ("1f" * 32, "2e" * 32):
        origin = {"plugin_sha256": {"/home/me/lstm.py": digest}}
        runs += search(6, plan=plan, plugins=["/home/me/lstm.py"], provenance=origin)
    found = importances(runs, {"s": SEARCH} if plan else {}, resamples=0)
    assert [(str(one.options), one.n) for one in found] == [("plugins=1f1f1f1f1f", 6), ("plugins=2e2e2e2e2e", 6)]


@pytest.mark.slow
def test_the_order_of_the_runs_does_not_matter(search: MakeSearch) -> None:
    # Half of them have an option that the others lack, and only one sweep's domain is known.
    runs = search(6) + search(6, **{"optimizer.name": "sgd", "optimizer.momentum": 0.5, "sweep": "t"})
    for domains in ({}, {"s": SEARCH}, {"s": SEARCH, "t": SEARCH | {"optimizer.lr": "interval(1e-4, 2e-2)"}}):
        forward, backward = importances(runs, domains, resamples=2), importances(runs[::-1], domains, resamples=2)
        assert forward == backward
        assert [list(item.shares) for item in forward] == [list(item.shares) for item in backward]


@pytest.mark.slow
def test_an_option_that_the_first_run_lacks_is_named(search: MakeSearch) -> None:
    runs = search(6, plan=False)
    others = search(6, plan=False, seed=1, **{"optimizer.momentum": 0.5, "optimizer.name": "sgd"})
    more = search(6, plan=False, seed=2, **{"optimizer.momentum": 0.9, "optimizer.name": "sgd"})
    for every in (runs + others + more, more + others + runs):
        (found,) = importances(every, {}, resamples=0)
        assert "Not all runs have optimizer.momentum" in " ".join(found.notes)


@pytest.mark.slow
def test_sweeps_that_drew_an_option_differently(search: MakeSearch) -> None:
    runs = search(6) + search(6, seed=1, **{"sweep": "t"})
    (found,) = importances(runs, {"s": SEARCH, "t": SEARCH | {"model.dropout": "interval(0.0, 0.5)"}}, resamples=0)
    assert found.search["model.dropout"] == "interval(0.0, 0.5) or interval(0.0, 1.0)"
    (found,) = importances(runs, {"s": SEARCH, "t": SEARCH | {"optimizer.lr": "interval(1e-4, 1e-2)"}}, resamples=0)
    assert "interval(0.000120767, 0.0042826)" in found.search["optimizer.lr"]  # by the values


def test_dependence() -> None:
    draws = np.random.default_rng(0)
    x, y = draws.random((2, 40))
    expected: Any = spearmanr(x, y)
    assert dependence(list(x), list(y)) == (
        pytest.approx(abs(expected.statistic)),
        pytest.approx(expected.pvalue, abs=0.02),
    )
    value, p = dependence(list(x), list(-np.exp(5 * x)))
    assert (value, p) == (pytest.approx(1), pytest.approx(0.001))
    a, b = ["u"] * 20 + ["v"] * 20, ["s"] * 15 + ["t"] * 25
    phi = (15 * 20 - 5 * 0) / (20 * 20 * 15 * 25) ** 0.5
    assert dependence(a, b)[0] == pytest.approx(phi)
    assert dependence(a, [float(value == "u") for value in a])[0] == pytest.approx(1)
    assert dependence(["same"] * 40, b) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cell", "lstmm"], "Unknown cell among these runs 'lstmm'. Did you mean 'lstm'"),
        (["--metric", "test msee"], "Unknown metric 'test msee'. Did you mean 'test mse'"),
        (["--metric", "last grad/nrom"], "Did you mean 'last grad/norm'"),
        (["--metric", "mse"], "'mse' is not a quantity"),
        (["--metric", "share optimizer.lr"], "optimizer.lr"),
        (["--resamples", "-1"], "--resamples is -1, but it must be at least 0"),
    ],
)
def test_misuse_is_one_sentence(search: MakeSearch, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments, message) -> None:
    search(5)
    assert main(["importance", str(tmp_path / "runs"), *arguments]) == 2
    out, err = capsys.readouterr()
    assert message in err
    assert (out, err.count("\n")) == ("", 1)


def test_what_there_is_not_is_said(
    search: MakeSearch, make_run, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["importance", "nowhere"]) == 2
    assert "There is no folder and no sweep 'nowhere'" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert main(["importance", "empty"]) == 2
    assert "Search first, as in" in capsys.readouterr().err
    search(3)
    assert main(["importance", "runs"]) == 2
    assert "at least 4 finished runs of one cell and task, and there are 3" in capsys.readouterr().err
    for seed in range(5):
        make_run(seed=seed, folder="seeds")
    assert main(["importance", "seeds"]) == 2
    assert "No option varies among the finished runs" in capsys.readouterr().err
