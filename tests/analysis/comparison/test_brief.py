"""What `gatelab compare --brief` and the end of the demo print: one screen."""

import io
from pathlib import Path

from analysis.comparison.rows import compared, printed

from gatelab.analysis.comparison.introductions import shortened
from gatelab.analysis.comparison.terminal import print_brief
from gatelab.process.console import Console

SCREEN = 24  # lines of 80 columns


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
    assert "without --brief" in lines[-1]
    assert "Sizes" not in page


def test_different_sizes_are_named(make_run, tmp_path: Path):
    for cell, parameters in (("lstm", 1000), ("gru", 2000)):
        make_run(cell, "adding", summary={"parameters": parameters})
        make_run(cell, "copying", summary={"parameters": 1000})
    assert "Sizes or tuning differ." in brief(tmp_path / "runs").splitlines()[-1]


def test_there_are_no_runs(tmp_path: Path):
    (tmp_path / "runs").mkdir()
    assert brief(tmp_path / "runs", None) == "There are no runs to compare.\n"


def test_runs_that_do_not_say_what_their_cells_are(make_run, tmp_path: Path):
    make_run("lstm", summary={"about": None})
    assert brief(tmp_path / "runs").lstrip().startswith("adding")


def test_chance_stands_beside_what_a_constant_scores_on_the_test_set(make_run, tmp_path: Path):
    make_run("lstm", summary={"constant": 0.1641})
    assert "On this test set chance is 0.1641." in printed(compared(tmp_path / "runs").rows)
    make_run("lstm", "copying", summary={"constant": 0.1})
    assert printed(compared(tmp_path / "runs").rows).count("On this test set") == 1


def test_judgements_in_brief(make_run, tmp_path: Path):
    for seed in range(5):
        for cell, score in (("lstm", 0.2), ("gru", 0.5), ("cifg", 0.1), ("nig", 0.201)):
            make_run(cell, seed=seed, score=score + 0.01 * seed)
            make_run(cell, "copying", seed, score=score + 0.01 * seed, shape="any")
    make_run("lstm", seed=9, state="failed")
    page = brief(tmp_path / "runs")
    assert "cifg better than lstm; gru worse; nig not significant. Failed runs are not counted: 1 of lstm." in " ".join(
        page.split()
    )
    # Of four runs against four an exact test has a p of 0.029 at best, which three comparisons make 0.086.
    few = tmp_path / "few"
    for seed in range(4):
        for cell, score in (("lstm", 0.2), ("gru", 0.5), ("cifg", 0.1), ("nig", 0.201)):
            make_run(cell, "copying", seed, score=score + 0.01 * seed, shape="any", folder="few")
    assert "gru, nig, cifg: too few runs (against lstm)." in brief(few)


def test_long_introductions_end_with_a_clause():
    words = "LSTM that writes exactly what it forgets: the input gate is the complement of the forget gate"
    assert shortened(words, 69) == "LSTM that writes exactly what it forgets …"
    assert shortened(words, 200) == words
    assert shortened("a word after another", 12) == "a word …"
