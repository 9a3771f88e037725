"""The page: what it shows, that it is whole, and that nothing from a file becomes a part of it."""

import base64
import json
import math
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from gatelab.analysis.plots import COLOURS, Line, cell_styles, training_figure, wants_log

from gatelab.analysis.report import write_report
from gatelab.analysis.series import over_seeds
from gatelab.registry import UserError
from gatelab.runs import Skipped, find_runs

EVIL = "<script>alert(1)</script>"


class Page(HTMLParser):
    """What a browser makes of the file: tags, what they load, figures, and the text a reader sees."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.source = path.read_text("utf-8")
        self.tags: Counter[str] = Counter()
        self.loaded: list[str] = []
        self.handlers: list[str] = []
        self.styles: list[str] = []
        self.figures: list[dict[str, Any]] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.feed(self.source)
        self.close()
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.loaded += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action", "poster")]
        self.styles += [value or "" for name, value in attrs if name == "style"]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        if tag not in ("meta", "link", "path", "circle"):
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "circle"):
            assert self.open.pop()[0] == tag  # every tag is closed, in order

    def handle_data(self, data: str) -> None:
        tag, attributes = self.open[-1] if self.open else ("", {})
        if tag == "script" and attributes.get("type") == "application/json":
            assert "<" not in data  # nothing in there can close the element
            self.figures.append(json.loads(data))
        elif tag == "script":
            self.scripts.append(data)
        elif tag == "style":
            self.styles.append(data)
        else:
            self.words.append(data)


def numbers(value: Any) -> np.ndarray:
    """A typed array of Plotly, or a plain one."""
    return np.frombuffer(base64.b64decode(value["bdata"]), value["dtype"]) if isinstance(value, dict) else np.array(value)


def titled(page: Page, title: str) -> list[dict[str, Any]]:
    """The figures whose y axis has this title."""
    return [figure for figure in page.figures if figure["layout"]["yaxis"]["title"]["text"] == title]


def reported(folder: Path, baseline: str | None = None) -> Page:
    path = folder.parent / "report.html"
    write_report(*find_runs([folder]), path, baseline)
    return Page(path)


@pytest.fixture
def page(messy: Path) -> Page:
    return reported(messy, "lstm")


def test_the_page_says_what_there_is(page: Page):
    counts = ("19 runs", "16 finished", "2 failed", "1 running", "5 skipped")
    for said in (*counts, "hidden_size=128", "0.0060 ± 0.0025", "+0.100 ± 0.020 worse"):
        assert said in page.text, said
    assert page.tags["table"] == 4  # two tasks, what was skipped, provenance
    assert "torch" in page.text


def test_failed_runs(page: Page):
    assert page.tags["article"] == 2
    assert page.text.count("The loss is nan.") == 4  # of each the sentence and the traceback
    assert page.text.count("Step 100 of 200; last good checkpoint: checkpoints/last.ckpt") == 2
    assert page.source.count("<details><summary>Traceback</summary><pre>Traceback (most recent call last):") == 2


def test_skipped_directories(page: Page):
    skipped = page.text.partition("Skipped ")[2]
    for name, reason in (
        ("half-written", "status.json is missing"),
        ("notes", "there is no run in it"),
        ("lstm-adding-s10-", "status.json cannot be read"),
        ("lstm-adding-s11-", "summary.json is missing"),
        ("lstm-adding-s12-", "its curves are left out: metrics.jsonl, line 2, is damaged"),
    ):
        assert re.search(f"{name}[^ ]* {re.escape(reason)}", skipped), name


def test_write_report_returns_what_it_left_out(messy: Path):
    found = find_runs([messy])
    left_out = write_report(*found, messy.parent / "report.html")
    assert left_out[: len(found[1])] == found[1]
    assert [item.path.name[:15] for item in left_out[len(found[1]) :]] == ["lstm-adding-s11", "lstm-adding-s12"]


def test_the_page_needs_nothing_else(page: Page):
    assert all(target.startswith(("#", "data:")) for target in page.loaded), page.loaded
    assert not any("@import" in style or "url(" in style for style in page.styles)
    assert page.tags["script"] == len(page.figures) + 2  # plotly.js and ours
    assert sum("plotly.js v" in script for script in page.scripts) == 1
    assert page.source.count("* plotly.js v") == 1
    assert "default-src 'none'" in page.source
    assert not {"img", "iframe", "object", "embed", "base"} & set(page.tags)


def test_every_figure_is_one_of_plotly(page: Page):
    assert len(page.figures) == 2 + 2 * (4 * 5 + 3)  # a task: curves, five gates in four charts, three norms, all of 2 tasks
    for figure in page.figures:
        go.Figure(figure)  # raises for an attribute that there is not
        assert any(trace.get("meta") for trace in figure["data"])


def test_learning_curves(page: Page):
    (figure,) = titled(page, "validation accuracy (higher is better)")
    lines = {trace["name"]: trace for trace in figure["data"] if "name" in trace}
    # Three finished seeds of gru; of lstm one more that has come to step 100.
    np.testing.assert_allclose(numbers(lines["gru"]["y"]), 0.61 * np.array([0.25, 0.5, 0.75, 1.0]), rtol=1e-6)
    assert numbers(lines["gru"]["x"]).tolist() == [50, 100, 150, 200]
    assert numbers(lines["gru"]["customdata"]).tolist() == [3, 3, 3, 3]
    thick, thin = [trace for trace in figure["data"] if trace.get("name") == "lstm"]
    assert (thick["line"]["width"], thin["line"]["width"]) == (2, 1)
    assert (numbers(thick["x"]).tolist(), numbers(thick["customdata"]).tolist()) == ([50, 100], [4, 4])
    assert (numbers(thin["x"]).tolist(), numbers(thin["customdata"]).tolist()) == ([100, 150, 200], [4, 3, 3])
    band = next(trace for trace in figure["data"] if trace.get("fill") and trace["meta"] == lines["gru"]["meta"])
    np.testing.assert_allclose(numbers(band["y"])[[3, 4]], [0.6, 0.62], rtol=1e-6)
    levels = {trace["text"][1]: trace["y"] for trace in figure["data"] if "text" in trace}
    assert levels == {"chance 0.1": [0.1, 0.1], "solved at 0.99": [0.99, 0.99]}
    assert figure["layout"]["yaxis"]["type"] == "linear"
    assert figure["layout"]["xaxis"]["title"]["text"] == "optimiser steps"


def test_gates_and_gradients(page: Page):
    mean, left, right = (titled(page, title) for title in ("mean activation", "share below 0.1", "share above 0.9"))
    assert len(mean) == len(left) == len(right) == len(titled(page, "density")) == 10
    line = next(trace for trace in right[0]["data"] if "name" in trace)
    np.testing.assert_allclose(numbers(line["y"]), 0.4, rtol=1e-6)
    histogram = titled(page, "density")[0]["data"][0]
    np.testing.assert_allclose(numbers(histogram["y"]), [0.4, 0.8, 1.2, 1.6, 1.6], rtol=1e-6)
    norms = titled(page, "global gradient norm, before clipping")
    assert [figure["layout"]["yaxis"]["type"] for figure in norms] == ["log", "log"]
    assert len(titled(page, "‖rnn.0.R/forget‖")) == 2


def test_a_cell_has_one_colour_on_the_whole_page(page: Page):
    colours: dict[str, set[str]] = {}
    for figure in page.figures:
        for trace in figure["data"]:
            if "name" in trace:
                colours.setdefault(trace["name"].partition(",")[0], set()).add(trace["line"]["color"])
    assert colours == {"lstm": {COLOURS[2]}, "gru": {COLOURS[1]}}  # cifg, which only failed, is the first of the three


def test_the_same_options_have_the_same_dashes(page: Page):
    (figure,) = titled(page, "validation mse (lower is better)")
    dashes = {trace["name"]: trace["line"]["dash"] for trace in figure["data"] if "name" in trace}
    assert dashes == {"lstm, hidden_size=64": "solid", "gru, hidden_size=64": "solid", "lstm, hidden_size=128": "dash"}
    assert figure["layout"]["yaxis"]["type"] == "log"


def test_more_cells_than_colours_differ_by_symbol():
    styles = cell_styles(f"cell{number:02}" for number in range(20))
    assert len(set(styles.values())) == 20
    line = Line("0-0", "cell09", *styles["cell09"], "solid")
    figure = training_figure([(line, over_seeds([([1, 2], [1.0, 2.0])]))], "score")
    assert figure["data"][0]["marker"]["symbol"] == "circle"


def test_a_single_record_is_a_point():
    figure = training_figure([(Line("0-0", "lstm", COLOURS[0], "", "solid"), over_seeds([([50], [0.5])]))], "score")
    assert [trace["mode"] for trace in figure["data"]] == ["lines+markers"]


@pytest.mark.parametrize(("log", "steps"), [(False, [1, 2, 3, 3, 2, 1]), (True, [2, 3, 3, 2])])
def test_a_band_has_no_place_below_zero_on_a_logarithmic_axis(log: bool, steps: list[int]):
    curve = over_seeds([([1, 2, 3], [-1.0, 1.0, 1.0]), ([1, 2, 3], [3.0, 3.0, 3.0])])
    figure = training_figure([(Line("0-0", "lstm", COLOURS[0], "", "solid"), curve)], "score", log=log)
    (band,) = [trace for trace in figure["data"] if trace.get("fill")]
    assert numbers(band["x"]).tolist() == steps


@pytest.mark.parametrize(("values", "log"), [([1.0, 0.01], True), ([1.0, 0.5], False), ([1.0, 0.0], False), ([math.nan], False)])
def test_logarithmic_axis(values: list[float], log: bool):
    assert wants_log([over_seeds([(list(range(len(values))), values)])]) is log


def test_nothing_from_a_file_becomes_part_of_the_page(make_run, tmp_path: Path):
    gates = {"gates": {}}
    for cell in (EVIL, "lstm"):
        for size in (64, EVIL):
            path = make_run(cell, score=0.5, summary=gates, provenance={EVIL: EVIL}, **{"model.hidden_size": size})
            with open(path / "metrics.jsonl", "a") as lines:
                record = {"step": 250, f"grad/{EVIL}": 1.0, f"gate/0/{EVIL}/mean": 0.5}
                lines.write(json.dumps(record) + "\n")
    make_run(EVIL, seed=5, state="failed", error=EVIL + "</pre></details>")
    runs, _ = find_runs([tmp_path / "runs"])
    path = tmp_path / "report.html"
    write_report(runs, [Skipped(Path(EVIL), EVIL)], path, baseline=EVIL)
    page = Page(path)
    assert EVIL not in page.source
    assert "alert(1)" not in "".join(page.scripts)
    assert page.tags["script"] == len(page.figures) + 2
    assert page.handlers == []
    assert EVIL in page.text  # it is shown, as text
    names = {trace["name"] for figure in page.figures for trace in figure["data"] if "name" in trace}
    assert any("&lt;script&gt;" in name for name in names)  # Plotly reads entities, and some tags
    assert not any("<" in name for name in names)
    assert not any("<" in figure["layout"]["yaxis"]["title"]["text"] for figure in page.figures)


def test_a_sweep_that_has_just_begun(make_run, tmp_path: Path):
    make_run("lstm", state="running")
    (make_run("gru", state="running") / "metrics.jsonl").unlink()
    page = reported(tmp_path / "runs")
    assert "2 running" in page.text
    assert len(titled(page, "validation mse")) == 1


def test_no_runs_at_all(tmp_path: Path):
    path = tmp_path / "report.html"
    assert write_report([], [], path) == []
    assert "0 runs" in Page(path).text


def test_more_settings_than_line_styles(make_run, tmp_path: Path):
    for size in range(1, 9):
        make_run(score=0.1 * size, **{"model.hidden_size": size})
    page = reported(tmp_path / "runs")
    (figure,) = titled(page, "validation mse (lower is better)")
    lines = [trace for trace in figure["data"] if "name" in trace]
    assert len({trace["line"]["dash"] for trace in lines}) == len(lines) == 6
    assert "Left out: lstm, hidden_size=7; lstm, hidden_size=8." in page.text


def test_an_older_page_is_replaced_only_when_the_new_one_is_complete(messy: Path, tmp_path: Path):
    path = tmp_path / "report.html"
    path.write_text("old")
    with pytest.raises(UserError, match="Unknown baseline"):
        write_report(*find_runs([messy]), path, "nothing")
    assert path.read_text() == "old"
    write_report(*find_runs([messy]), path)
    assert path.read_text().startswith("<!doctype html>")
    assert [item.name for item in tmp_path.iterdir() if "report" in item.name] == ["report.html"]


def test_a_page_that_breaks_off_leaves_the_older_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "report.html"
    path.write_text("old")
    monkeypatch.setattr("os.replace", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_report([], [], path)
    assert [item.read_text() for item in tmp_path.iterdir()] == ["old"]


def test_a_page_that_cannot_be_written(tmp_path: Path):
    (tmp_path / "report.html").mkdir()
    with pytest.raises(UserError, match=r"cannot be written to .*report\.html"):
        write_report([], [], tmp_path / "report.html")
    assert [item.name for item in tmp_path.iterdir()] == ["report.html"]


def test_provenance_that_differs_is_counted(make_run, tmp_path: Path):
    for seed in range(6):
        make_run(seed=seed, provenance={"cpu": "one" if seed else "other", "pid": seed, "git": {"commit": "abc"}})
    (make_run(seed=6) / "provenance.json").write_text("{")
    text = reported(tmp_path / "runs").text
    assert "cpu one (5 runs); other (1 runs)" in text
    assert "git.commit abc" in text
    assert "; 2 more values" in text


@pytest.mark.slow
def test_five_hundred_runs(make_run, tmp_path: Path):
    for seed in range(50):
        for cell in ("lstm", "gru", "cifg", "janet", "mgu"):
            for task in ("adding", "copying"):
                make_run(cell, task, seed, score=0.5)
    page = reported(tmp_path / "runs", "lstm")
    assert "500 runs, 500 finished" in page.text
    assert page.text.count("0.5000 ± 0.0000") == 10
    assert page.text.count("+0 ± 0") == 8
    assert len(page.source) < 8_000_000


def test_reading_never_imports_torch():
    program = "import sys, gatelab.analysis.report; sys.exit(any(name in sys.modules for name in ('torch', 'lightning', 'hydra')))"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
