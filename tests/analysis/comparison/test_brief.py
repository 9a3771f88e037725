"""What `gatelab compare --brief` and the end of the demo print: one screen."""

import io
from pathlib import Path

from analysis.comparison.rows import compared

from gatelab.analysis.comparison.terminal import print_brief
from gatelab.process.console import Console

SCREEN = 40  # lines of 80 columns


def brief(folder: Path, baseline: str | None = "lstm") -> str:
    console = Console(width=80, file=io.StringIO(), color_system=None)
    print_brief(compared(folder, baseline).rows, console, baseline)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_five_cells_and_two_tasks_fit_on_a_screen(make_run, tmp_path: Path):
    for seed in range(3):
        for number, cell in enumerate(("lstm", "gru", "cifg", "nig", "peephole")):
            make_run(cell, "adding", seed, score=0.01 + 0.02 * number + 0.001 * seed * (number + 1))
            make_run(cell, "copying", seed, score=0.5 + 0.05 * number + 0.01 * seed * (number + 1))
    page = brief(tmp_path / "runs")
    lines = page.splitlines()
    assert len(lines) <= SCREEN
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["cifg", "What", "cifg", "does"]
    assert "adding  mse, lower is better" in page
    assert "copying  accuracy, higher is better" in page
    assert "lstm" in page.partition("copying")[2]
    assert "prints all columns" in lines[-1]


def test_different_sizes_are_named_below_their_task(make_run, tmp_path: Path):
    for cell, parameters in (("lstm", 1000), ("gru", 2000)):
        make_run(cell, "adding", summary={"parameters": parameters})
        make_run(cell, "copying", summary={"parameters": 1000})
    before, after = brief(tmp_path / "runs").split("copying  accuracy")
    assert "not at equal size: params 1,000 to 2,000" in " ".join(before.split())
    assert "equal size" not in after


def test_there_are_no_runs(tmp_path: Path):
    (tmp_path / "runs").mkdir()
    assert brief(tmp_path / "runs", None) == "There are no runs to compare.\n"


def test_runs_that_do_not_say_what_their_cells_are(make_run, tmp_path: Path):
    make_run("lstm", summary={"about": None})
    assert brief(tmp_path / "runs").lstrip().startswith("adding")


def test_chance_stands_beside_what_a_constant_scores_on_the_test_set(make_run, tmp_path: Path):
    make_run("lstm", summary={"constant": 0.1641})
    assert "chance 0.1667; solved at 0.01; on this test set chance is 0.1641" in " ".join(brief(tmp_path / "runs").split())
    make_run("lstm", "copying", summary={"constant": 0.1})
    assert brief(tmp_path / "runs").count("on this test set") == 1
