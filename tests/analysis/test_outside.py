"""Runs and plugins that others wrote: what commands print of them commands neither the terminal nor a spreadsheet."""

import csv
import io
import re
from pathlib import Path

import pytest

from gatelab.cells import CELLS
from gatelab.cli.main import main
from gatelab.tasks import TASKS

CELL = "=\x1b[31m[red]cell:smile:|<script>"
SHOWN = r"=\x1b[31m[red]cell:smile:|<script>"
ERROR = "bad\x1b]0;owned\x07 [bold]news[/bold]"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
PLUGIN = '''
from dataclasses import dataclass
from torch import sigmoid
from gatelab import Cell, option

@dataclass(frozen=True)
class Hostile(Cell):
    """Unit \\x1b[2J[red]wipes[/red] the screen."""

    gates = {"f": "forget"}
    scale: float = option(1.0, "factor\\x1b[31m [b]help[/b]")

    def step(self, a, s, p):
        f = sigmoid(a.f)
        return {"h": f * s.h}, {"forget": f}
'''


@pytest.fixture
def hostile(make_run, tmp_path: Path) -> str:
    """A folder of runs whose names, options and errors are hostile."""
    for seed in range(4):
        lr = 0.01 * (seed + 1)
        path = make_run(CELL, "adding", seed, score=0.2 + lr, **{"optimizer.lr": lr, "model.kind": ("+1", "@x")[seed % 2]})
        path.rename(path.with_name(f"run\x1b[2J[red]{seed}"))
    failed = make_run(CELL, "adding", 9, state="failed", error=ERROR)
    failed.rename(failed.with_name("failed\x1b[2J[red]"))
    make_run("lstm", "adding", 0)
    damaged = make_run("lstm", "adding", 1)
    (damaged / "status.json").write_text('{"state": "x\x1b[2J"}')
    damaged.rename(damaged.with_name("damaged\x1b[2J[red]"))
    return str(tmp_path / "runs")


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """What a command prints, out and err together, with nothing in it that a terminal would obey."""
    monkeypatch.setenv("COLUMNS", "300")

    def call(*arguments: str) -> str:
        assert main(list(arguments)) in (0, 2)
        captured = capsys.readouterr()
        text = captured.out + captured.err
        assert not OBEYED.search(text), repr(text)
        return text

    return call


def test_status(hostile: str, printed):
    text = printed("status", hostile)
    assert r"failed\x1b[2J[red]  failed at step 100: bad\x1b]0;owned [bold]news[/bold]." in text


@pytest.mark.parametrize("format", ["table", "csv", "json", "markdown"])
def test_compare(hostile: str, printed, format: str):  # noqa: A002
    text = printed("compare", hostile, "--baseline", "lstm", "--format", format)
    assert "damaged" in text
    markdown = r"=\\x1b\[31m\[red\]cell:smile:\|&lt;script&gt;"
    shown = {"table": SHOWN, "csv": f"'{SHOWN}", "json": r"=\u001b[31m[red]", "markdown": markdown}
    assert shown[format] in text


def test_a_spreadsheet_gets_no_formula(hostile: str, capsys: pytest.CaptureFixture[str]):
    assert main(["compare", hostile, "--baseline", "lstm", "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows
    for row in rows:
        for text in row.values():
            if text.startswith(("=", "+", "-", "@", "\t", "\r")):
                float(text.split()[0])  # a number is a number, negative or not
    assert {row["cell"] for row in rows} == {f"'{SHOWN}", "lstm"}
    assert any(float(row["difference"] or 0) < 0 for row in rows)


def test_importance(hostile: str, printed):
    text = printed("importance", hostile, "--resamples", "0")
    assert SHOWN in text
    assert "damaged" in text


def test_errors_of_commands(hostile: str, printed):
    assert r"Unknown baseline 'a\x1b[2Jb'" in printed("compare", hostile, "--baseline", "a\x1b[2Jb")
    assert "There is no folder and no sweep" in printed("resume", "\x1b[2J")


def test_the_report(hostile: str, printed, tmp_path: Path):
    page = tmp_path / "page\x1b[2J.html"
    assert r"page\x1b[2J.html" in printed("report", hostile, "-o", str(page))
    html = page.read_text("utf-8")
    assert "&lt;script&gt;" in html
    assert "cell:smile:|<script>" not in html


def test_a_plugin(printed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for registry in (CELLS, TASKS):
        monkeypatch.setattr(registry, "_added", dict(registry._added))
    plugin = tmp_path / "hostile.py"
    plugin.write_text(PLUGIN)
    text = printed("list", "cells", str(plugin))
    assert r"Unit \x1b[2J[red]wipes[/red] the screen." in text
    text = printed("explain", "cell=hostile", f"plugins=[{plugin}]")
    assert r"Unit \x1b[2J[red]wipes[/red] the screen." in text
    assert r"factor\x1b[31m [b]help[/b]" in text
    plugin.write_text(PLUGIN.replace('"forget"', r'"[red]forget\x1b[1m"'))  # refused, and the reason is shown as well
    assert r"`gates` has the name '[red]forget\x1b[1m'" in " ".join(printed("list", "cells", str(plugin)).split())
