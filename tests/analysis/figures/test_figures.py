"""The figures as data: which numbers stand in them, against what, and in whose name."""

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis.synthetic import change_records

from gatelab.analysis.comparison.table import compare
from gatelab.analysis.figures import FIGURES, Figure, Problem, figure, looks, plain, together
from gatelab.analysis.figures._model import spans
from gatelab.analysis.figures.from_runs import missing, read_problems
from gatelab.analysis.figures.looks import COLOURS, DASHES, SYMBOLS, look_of, style_sheet
from gatelab.analysis.reading.series import seconds_at
from gatelab.errors import UserError
from gatelab.runs import find_runs


def flat(values: Any) -> np.ndarray:
    """The values of an axis that must be there, in one row."""
    assert values is not None
    return np.ravel(values)


def problems(folder: Path) -> list[Problem]:
    return read_problems(compare(find_runs([folder])[0]))[0]


def drawn(name: str, problem: Problem) -> Figure:
    found = figure(name, problem)
    assert found is not None
    return found


@pytest.fixture
def problem(make_run, tmp_path: Path) -> Problem:
    """Two cells, three seeds: gru keeps its state longer, lstm is better; gru is worse than chance."""
    for seed in range(3):
        make_run("lstm", seed=seed, score=0.1 + 0.01 * seed, keeps=0.8, summary={"flops_per_step": 2004, "lag": 4})
        make_run("gru", seed=seed, score=0.4 + 0.01 * seed, keeps=0.9, summary={"flops_per_step": 2003, "lag": 4})
    (only,) = problems(tmp_path / "runs")
    return only


WITH_MORE_RUNS = {"recall", "options", "dynamics", "overall", "profiles", "time-to-solve", "tuning-budget"}  # tested below


@pytest.mark.parametrize("name", sorted(set(FIGURES) - WITH_MORE_RUNS))
def test_every_figure_says_what_it_shows(problem: Problem, name: str):
    found = drawn(name, problem)
    assert found.name == name
    assert found.title
    assert found.caption.endswith(".")
    json.dumps(plain(found), allow_nan=False)
    for panel in found.panels:
        assert panel.series
        assert panel.x.label or panel.x.categories
        assert panel.y.label or panel.y.categories
        for series in panel.series:
            assert np.size(series.x) == (np.size(series.y) if panel.z is None else np.shape(panel.z)[1])
    titles = [panel.title for panel in found.panels]
    assert len(set(titles)) == len(titles)


def test_ranking(problem: Problem):
    (panel,) = drawn("ranking", problem).panels
    assert panel.y.categories == ["lstm", "gru"]
    best = panel.series[0]
    assert flat(best.x)[0] == pytest.approx(0.11)
    half = 4.302652729911275 * 0.01 / math.sqrt(3)  # the 97.5% quantile of Student's t with two degrees of freedom
    assert [flat(best.low)[0], flat(best.high)[0]] == pytest.approx([0.11 - half, 0.11 + half])
    assert list(flat(best.points)) == pytest.approx([0.1, 0.11, 0.12])
    assert panel.levels == {"chance": pytest.approx(1 / 6), "solved": 0.01}
    assert "lower is better" in panel.x.label


def test_learning_curves(problem: Problem):
    (panel,) = drawn("learning", problem).panels
    lstm = panel.series[0]
    assert flat(lstm.x).tolist() == [50, 100, 150, 200]
    assert flat(lstm.y) == pytest.approx(0.11 * np.array([0.25, 0.5, 0.75, 1]))
    assert (flat(lstm.low)[-1], flat(lstm.high)[-1]) == pytest.approx((0.1, 0.12))
    assert panel.x.label == "optimiser steps"


def test_time_to_solve(make_run, tmp_path: Path):
    # The synthetic accuracy rises in a straight line to its last value at step 200: 0.99 is reached at 150 and at 200.
    for seed, score in enumerate((1.32, 0.99, 0.5)):
        make_run("lstm", "copying", seed, score=score)
        make_run("gru", "copying", seed, score=0.5)
        make_run("cifg", "copying", seed, score=4.0)
    (problem,) = problems(tmp_path / "runs")
    found = drawn("time-to-solve", problem)
    (panel,) = found.panels
    assert (found.kind, panel.x.label, panel.x.log, panel.y.domain) == ("steps", "optimiser steps", False, (0, 1))
    assert "has reached 0.99 " in found.caption
    lines = {problem.variants[series.variant].name: series for series in panel.series}
    assert flat(lines["lstm"].x).tolist() == [0, 150, 200, 200]
    assert flat(lines["lstm"].y) == pytest.approx([0, 1 / 3, 2 / 3, 2 / 3])
    assert flat(lines["lstm"].points).tolist() == [200]
    assert (flat(lines["gru"].x).tolist(), flat(lines["gru"].y).tolist()) == ([0, 200, 200], [0, 0, 0])
    assert (flat(lines["cifg"].x).tolist(), flat(lines["cifg"].y).tolist()) == ([0, 50, 200], [0, 1, 1])  # to the end of the budget
    assert flat(lines["cifg"].points).size == 0
    assert np.isnan(flat(lines["lstm"].low)).tolist() == [True, False, False, False]  # no band before the first run
    assert flat(lines["lstm"].low)[-1] == pytest.approx(0.0943, abs=1e-4)  # Clopper and Pearson's, of 2 of 3
    assert flat(lines["lstm"].high)[-1] == pytest.approx(0.9916, abs=1e-4)


def test_times_that_span_decades_have_a_logarithmic_axis(make_run, tmp_path: Path):
    make_run("lstm", "copying", score=4.0)
    path = make_run("gru", "copying", score=0.5, **{"trainer.max_steps": 5000}) / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 5000, "val/accuracy": 1.0}\n')
    (panel,) = drawn("time-to-solve", problems(tmp_path / "runs")[0]).panels
    assert panel.x.log
    assert [flat(series.x).tolist() for series in panel.series] == [[25, 50, 200], [25, 5000, 5000]]


def test_no_time_to_solve_is_drawn_where_no_run_does(problem: Problem):
    assert figure("time-to-solve", problem) is None


def test_learning_curves_against_time(problem: Problem):
    (panel,) = drawn("wall-time", problem).panels
    assert flat(panel.series[0].x) == pytest.approx([2.5, 5, 7.5, 10])  # 50 steps at 20 a second, and so on
    assert "seconds" in panel.x.label


@pytest.mark.parametrize(
    ("steps", "rates", "seconds_per_step", "expected"),
    [
        ([10, 20], ([10, 20], [1.0, 2.0]), None, [10, 15]),  # twice as fast from step 10
        ([5, 30], ([10, 20], [1.0, 2.0]), None, [5, 22.5]),  # inside a record; behind the last at the speed of all
        ([10, 20], ([10, 20], [1.0, math.inf]), None, [10, 20]),
        ([10], ([], []), 0.5, [5]),
    ],
)
def test_seconds_of_steps(steps, rates, seconds_per_step, expected):
    assert seconds_at(steps, rates[0], rates[1], seconds_per_step) == pytest.approx(expected)


def test_seconds_that_nobody_recorded():
    assert math.isnan(seconds_at([10], [], [])[0])


def test_memory(problem: Problem):
    units, left, gradient = drawn("memory", problem).panels
    assert units.y.categories == ["gru (at chance)", "lstm"]  # the longest first, not the best
    gru = units.series[0]
    longest, long = (-1 / math.log(0.9 * unit / 8) for unit in (8, 7))
    assert (flat(gru.low)[0], flat(gru.x)[0], flat(gru.high)[0]) == pytest.approx((long, longest, longest))
    assert gru.note == "9.49, update gate"
    assert "4 steps" in left.title
    assert [flat(series.x)[0] for series in left.series] == pytest.approx([0.9**4, 0.8**4])
    assert left.x.domain == (0, 1)
    assert [flat(series.x)[0] for series in gradient.series] == pytest.approx([2.0, 2.0], abs=1e-3)
    assert gradient.levels == {"longest lag": 9.0}


def test_a_task_without_a_lag_has_no_share_over_it(make_run, tmp_path: Path):
    make_run("lstm")
    assert [panel.x.label for panel in drawn("memory", problems(tmp_path / "runs")[0]).panels] == [
        "timescale (steps)",
        "half-life (steps)",
    ]


def test_what_does_not_halve_has_no_half_life(make_run, tmp_path: Path):
    """The curve counts, not what a fit extrapolated from it."""
    change_records(make_run("lstm") / "arrays.jsonl", **{"flow_end/0/state/norm": [1 - 0.01 * lag for lag in range(10)]})
    gradient = drawn("memory", problems(tmp_path / "runs")[0]).panels[1]
    (series,) = gradient.series
    assert series.note == "more than 9"
    assert plain(drawn("memory", problems(tmp_path / "runs")[0]))["panels"][1]["series"][0]["x"] == [None]


def test_runs_of_an_earlier_version_are_named_as_such(make_run, tmp_path: Path):
    """They have no R2, and their `half_life` was fitted: it is measured again."""
    path = make_run("lstm") / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    older = [{key: value for key, value in line.items() if not key.endswith("/r2")} for line in lines]
    path.write_text("".join(json.dumps(line | {"flow_end/0/state/half_life": 70.0}) + "\n" for line in older))
    (only,) = problems(tmp_path / "runs")
    found = drawn("memory", only)
    assert "earlier version recorded timescales as 1/(1 - mean f)" in found.caption
    assert flat(found.panels[1].series[0].x)[0] == pytest.approx(2, abs=1e-3)
    assert drawn("gradient-lag", only).panels[0].series[0].note == "½: 2 steps"


def test_spectra(problem: Problem):
    spectrum, training = drawn("timescales", problem).panels
    gru = next(series for series in spectrum.series if problem.variants[series.variant].name == "gru")
    x, y = flat(gru.x), flat(gru.y)
    assert y[0] == 1  # all units are at least as slow as the fastest
    assert x[-1] == pytest.approx(-1 / math.log(0.9))
    assert y[x >= 9.49].max() == pytest.approx(3 / 24)  # a unit of each of three seeds
    assert (spectrum.x.log, training.y.log) == (True, True)


def test_gradient_against_lag(problem: Problem):
    found = drawn("gradient-lag", problem)
    assert [panel.title for panel in found.panels] == ["whole state", "c"]  # both losses are one at the end, so that is said once
    whole, c = found.panels
    assert flat(whole.series[0].y) == pytest.approx(0.5 ** (np.arange(10) / 2))
    assert np.isnan(flat(c.series[0].y)[0])  # zero has no place on a logarithmic axis
    assert whole.series[0].note == "½: 2 steps (fit 2, R² 1.00)"
    assert whole.y.log


def test_gradients_of_both_losses(make_run, tmp_path: Path):
    change_records(make_run("lstm") / "arrays.jsonl", **{"flow/0/state/norm": [2.0] * 10})
    titles = [panel.title for panel in drawn("gradient-lag", problems(tmp_path / "runs")[0]).panels]
    assert titles == ["whole state, the task's loss", "c, the task's loss", "whole state, loss at the end", "c, loss at the end"]


def test_units_over_training(problem: Problem):
    found = drawn("gate-units", problem)
    titles = {panel.title: panel for panel in found.panels}
    assert found.columns == 5  # the gates of both cells, each in a column of its own
    panel = titles["lstm: forget"]
    z = np.asarray(panel.z)
    assert z.shape == (8, 4)
    assert z[:, -1] == pytest.approx(0.8 * np.arange(1, 9) / 8)  # sorted
    assert flat(panel.series[0].x).tolist() == [50, 100, 150, 200]
    assert len({panel.column for panel in titles.values() if panel.title.startswith("lstm")}) == 3


def test_gates_along_the_sequence(problem: Problem):
    panel = drawn("gate-positions", problem).panels[0]
    assert panel.y.categories == ["forget", "input", "output"]
    assert np.asarray(panel.z)[0] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert flat(panel.series[0].x).tolist() == [12.5, 37.5, 62.5, 87.5]


def test_saturation(problem: Problem):
    panel = next(panel for panel in drawn("saturation", problem).panels if panel.title == "forget")
    (series,) = panel.series
    assert (set(flat(series.x)), set(flat(series.y))) == ({0.5}, {0.25})
    assert panel.diagonal


def test_events(problem: Problem):
    panel = next(panel for panel in drawn("gate-events", problem).panels if panel.title == "input")
    (series,) = panel.series
    ends = [float(flat(values)[0]) for values in (series.x, series.low, series.high)]
    assert ends == pytest.approx([0.75, 0.45, 0.75])


def test_cost(problem: Problem):
    parameters, flops, seconds = drawn("cost", problem).panels
    assert [flat(series.x)[0] for series in parameters.series] == [1004, 1003]
    assert [flat(series.x)[0] for series in flops.series] == [2004, 2003]
    assert flat(seconds.series[0].x)[0] == pytest.approx(0.02)


def test_recall_by_slot(make_run, tmp_path: Path):
    for seed in range(2):
        with open(make_run("lstm", "copying", seed) / "metrics.jsonl", "a") as lines:
            lines.write(json.dumps({"step": 200, "val/recall/10": 0.5 + seed / 4, "val/recall/9": 1.0}) + "\n")
    (panel,) = drawn("recall", problems(tmp_path / "runs")[0]).panels
    assert flat(panel.series[0].x).tolist() == [10, 11]
    assert flat(panel.series[0].y).tolist() == [1.0, 0.625]


def test_dynamics_of_inspected_runs(make_run, tmp_path: Path):
    arrays = {
        "lyapunov/0/exponents": [0.1, -0.2, -3.0],
        "jacobian/0/singular_values": [2.0, 1.0],
        "gate/0/forget/units/mean": [0.0],
    }
    (make_run("lstm") / "inspect.json").write_text(json.dumps({"best/test": {"arrays": arrays}}))
    make_run("gru")
    (problem,) = problems(tmp_path / "runs")
    exponents, singular = drawn("dynamics", problem).panels
    assert [problem.variants[series.variant].name for series in exponents.series] == ["lstm"]
    assert flat(exponents.series[0].y).tolist() == [0.1, -0.2, -3.0]
    assert exponents.series[0].note == "largest 0.1"
    assert flat(singular.series[0].x).tolist() == [1, 2]
    # What was seen while training is not replaced.
    assert next(series for series in drawn("gate-units", problem).panels if "forget" in series.title).z is not None


def test_all_tasks_together(make_run, tmp_path: Path):
    for seed in range(4):
        make_run("lstm", "adding", seed, score=0.01)  # solved
        make_run("lstm", "copying", seed, score=0.1)  # chance
        make_run("gru", "adding", seed, score=1 / 6)
        make_run("gru", "copying", seed, score=0.1)
    make_run("cifg", "copying", 0, score=1.0)  # not on every task
    every = problems(tmp_path / "runs")
    whole = together(every)
    assert whole.number == 2
    (panel,) = drawn("overall", whole).panels
    assert panel.y.categories == ["lstm", "gru"]
    assert [flat(series.x)[0] for series in panel.series] == pytest.approx([0.5, 0.0])
    (profile,) = drawn("profiles", whole).panels
    x, y = flat(profile.series[0].x), flat(profile.series[0].y)
    assert set(y[(x > 0.01) & (x < 0.99)]) == {0.5}
    assert figure("overall", every[0]) is None


def test_effects_of_options(make_run, tmp_path: Path):
    for seed in range(2):
        for size, score in ((9, 0.4), (64, 0.2), (128, 0.1)):
            make_run("lstm", seed=seed, score=score + 0.02 * seed, **{"model.hidden_size": size})
    (panel,) = drawn("options", problems(tmp_path / "runs")[0]).panels
    assert panel.x.categories == ["9", "64", "128"]
    (series,) = panel.series
    assert flat(series.x).tolist() == [0, 1, 2]
    assert flat(series.y) == pytest.approx([0.41, 0.21, 0.11])
    assert flat(series.high) == pytest.approx([0.42, 0.22, 0.12])


def test_one_variant_has_no_effects(problem: Problem):
    assert figure("options", problem) is None


def test_the_look_of_a_cell_does_not_depend_on_the_others(make_run, tmp_path: Path):
    names = [f"cell{number:02}" for number in range(20)]
    for name in names:
        make_run(name)
    (only,) = problems(tmp_path / "runs")
    assert {variant.name: (variant.colour, variant.symbol, variant.dash) for variant in only.variants} == {
        name: look_of(name) for name in names
    }
    assert len({look_of(name) for name in names}) > 15
    for indices, there_are in zip(zip(*map(look_of, names), strict=True), (COLOURS, SYMBOLS, DASHES), strict=True):
        assert max(indices) < len(there_are)


def test_the_same_options_have_the_same_dashes(make_run, tmp_path: Path):
    for cell in ("lstm", "gru"):
        for size in (64, 128):
            make_run(cell, **{"model.hidden_size": size})
    (only,) = problems(tmp_path / "runs")
    dashes = {}
    for variant in only.variants:
        dashes.setdefault(variant.options["hidden_size"], set()).add(variant.dash)
    assert dashes == {"64": {0}, "128": {1}}


def test_more_variants_than_dashes(make_run, tmp_path: Path):
    for size in range(1, 9):
        make_run(score=0.1 * size, **{"model.hidden_size": size})
    (only,) = problems(tmp_path / "runs")
    assert len({variant.dash for variant in only.variants}) == len(only.variants) == 6
    assert only.hidden == ["lstm, hidden_size=7", "lstm, hidden_size=8"]


def test_missing_seeds_are_named(make_run, tmp_path: Path):
    for seed in range(3):
        make_run("lstm", seed=seed)
    make_run("gru", seed=1)
    (only,) = problems(tmp_path / "runs")
    assert missing(only) == ["gru: seeds 0, 2"]


def test_runs_without_probes_still_have_scores(make_run, tmp_path: Path):
    (make_run("lstm") / "arrays.jsonl").unlink()
    (only,) = problems(tmp_path / "runs")
    assert figure("ranking", only) is not None
    for name in ("gate-units", "saturation", "timescales", "gradient-lag", "retention"):
        assert figure(name, only) is None, name


def test_an_unknown_figure_gets_the_nearest_name(problem: Problem):
    with pytest.raises(UserError, match=r"Unknown figure 'saturatoin'\. Did you mean 'saturation'\? Available: cost, "):
        figure("saturatoin", problem)


@pytest.mark.parametrize(("values", "wide"), [([1.0, 0.01], True), ([1.0, 0.5], False), ([1.0, 0.0], False), ([math.nan], False)])
def test_logarithmic_axis(values: list[float], wide: bool):
    assert spans([values]) is wide


def test_the_page_has_every_colour_in_every_theme():
    themes = re.findall(r"\{ (--colour[^}]*) \}", style_sheet())
    assert len(themes) == 3  # light, dark by choice, dark by the system
    for theme in themes:
        assert re.findall(r"--colour-(\d+): #[0-9A-F]{6};", theme) == [str(number) for number in range(len(COLOURS))]
    page = Path(looks.__file__).parents[1] / "report" / "page" / "page.css"
    assert "--colour-" not in page.read_text()


def test_tuning_budget(make_run, tmp_path: Path) -> None:
    """Seventeen settings with two seeds each: the curve begins at the mean of their validation scores and ends at the best one."""
    for number in range(17):
        for seed in (0, 1):
            make_run("lstm", seed=seed, score=0.005 * (number + seed), **{"optimizer.lr": 0.001 * (number + 1)})
    make_run("gru", score=0.5, state="diverged")
    (problem,) = problems(tmp_path / "runs")
    (panel,) = drawn("tuning-budget", problem).panels
    (line,) = panel.series
    assert problem.variants[line.variant].row.cell == "lstm"
    assert flat(line.x).tolist() == list(range(1, 18))
    assert flat(line.y)[[0, -1]] == pytest.approx([0.0425, 0.0025])
    assert np.isfinite(flat(line.low)).tolist() == [False, True] + [False] * 15
