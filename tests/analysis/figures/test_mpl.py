"""Figures for papers: each can be drawn, holds its words, and is the same file for the same runs."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="Matplotlib is not installed: pip install 'gatelab[plots]'")

from gatelab.analysis.comparison.table import compare
from gatelab.analysis.figures import FIGURES, Series
from gatelab.analysis.figures.from_runs import read_problems
from gatelab.analysis.figures.mpl import _steps, canvas_of, write_figure
from gatelab.errors import UserError
from gatelab.runs import find_runs


@pytest.fixture
def folder(make_run, tmp_path: Path) -> Path:
    for seed in range(2):
        for size in (64, 128):
            make_run("lstm", seed=seed, score=0.2, **{"model.hidden_size": size})
        make_run("gru", seed=seed, score=0.3)
        make_run("$gru$", "copying", seed=seed, score=0.3)
    return tmp_path / "runs"


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", sorted(set(FIGURES) - {"recall", "dynamics", "overall", "profiles", "time-to-solve", "tuning-budget"})
)
def test_every_figure_can_be_drawn(folder: Path, tmp_path: Path, name: str):
    path = tmp_path / f"{name}.svg"
    assert write_figure(find_runs([folder])[0], name, path) == []
    text = path.read_text()
    assert "<svg" in text
    assert text.count("hidden_size=128") >= (name not in ("gate-units", "gate-positions", "options"))


@pytest.mark.slow
def test_the_budget_of_a_search_can_be_drawn(make_run, tmp_path: Path):
    for number in range(16):
        make_run("lstm", score=0.1 + 0.01 * number, **{"optimizer.lr": 0.001 * (number + 1)})
    path = tmp_path / "budget.svg"
    assert write_figure(find_runs([tmp_path / "runs"])[0], "tuning-budget", path) == []
    assert "settings tried" in path.read_text()


def test_words_and_names_of_a_figure(folder: Path, tmp_path: Path):
    path = tmp_path / "ranking.svg"
    write_figure(find_runs([folder])[0], "ranking", path)
    text = path.read_text()
    for said in ("test mse (lower is better)", "test accuracy (higher is better)", "lstm, hidden_size=128", "$gru$", "solved"):
        assert said in text, said


def test_steps_and_what_is_marked_on_them(make_run, tmp_path: Path):
    make_run("lstm")
    (problem,), _ = read_problems(compare(find_runs([tmp_path / "runs"])[0]))
    with canvas_of(3, 2) as canvas:
        axes = canvas.subplots()
        _steps(axes, Series(0, [0, 50, 200], [0, 0.5, 1], [0, 0.1, 0.4], [0.5, 0.9, 1], [120, 200]), problem.variants[0])
        line, marks = axes.lines
    assert line.get_drawstyle() == "steps-post"
    assert (np.ravel(marks.get_xdata()).tolist(), np.ravel(marks.get_ydata()).tolist(), marks.get_marker()) == (
        [120, 200],
        [0.5, 1],
        "|",
    )
    assert len(axes.collections) == 1  # the band


def test_all_tasks_together(make_run, tmp_path: Path):
    for seed in range(2):
        for task in ("adding", "copying"):
            make_run("lstm", task, seed=seed)
    path = tmp_path / "overall.svg"
    write_figure(find_runs([tmp_path / "runs"])[0], "overall", path)
    assert path.read_text().count("normalised score (0 chance, 1 solved)") == 1


def test_one_task_alone(folder: Path, tmp_path: Path):
    path = tmp_path / "ranking.svg"
    write_figure(find_runs([folder])[0], "ranking", path, task="copying")
    assert "test mse" not in path.read_text()
    assert "test accuracy" in path.read_text()


@pytest.mark.parametrize(("ending", "magic"), [("pdf", b"%PDF-"), ("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_formats(make_run, tmp_path: Path, ending: str, magic: bytes):
    make_run("lstm")
    runs, _ = find_runs([tmp_path / "runs"])
    first, second = tmp_path / f"a.{ending}", tmp_path / f"b.{ending}"
    for path in (first, second):
        write_figure(runs, "ranking", path)
    assert first.read_bytes().startswith(magic)
    assert first.read_bytes() == second.read_bytes()
    assert sorted(item.name for item in tmp_path.iterdir() if not item.is_dir()) == [f"a.{ending}", f"b.{ending}"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("rankin", "a.pdf"), r"Unknown figure 'rankin'\. Did you mean 'ranking'\? Available: "),
        (("ranking", "a.jpg"), r"'.*a\.jpg' must end with one of: \.pdf, \.png, \.svg"),
        (("ranking", "a.pdf", "addin"), r"Unknown task 'addin'\. Did you mean 'adding'\?"),
        (("recall", "a.pdf"), "None of the runs recorded what the figure 'recall' needs"),
    ],
)
def test_what_cannot_be_drawn(make_run, tmp_path: Path, arguments: tuple[str, ...], message: str):
    make_run("lstm")
    name, file, *task = arguments
    with pytest.raises(UserError, match=message):
        write_figure(find_runs([tmp_path / "runs"])[0], name, tmp_path / file, *task)  # type: ignore[arg-type] - texts where a level is expected, too


def test_without_matplotlib(make_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make_run("lstm")
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    with pytest.raises(UserError, match=r"pip install 'gatelab\[plots\]'"):
        write_figure(find_runs([tmp_path / "runs"])[0], "ranking", tmp_path / "a.pdf")
