"""The page: what it shows, that it is whole, and that nothing from a file becomes a part of it."""

import json
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from gatelab.analysis.figures.looks import COLOURS, look_of
from gatelab.analysis.report.document import build_page, write_report
from gatelab.errors import UserError
from gatelab.runs import Skipped, find_runs

EVIL = "<script>alert(1)</script>"
VOID = ("meta", "link", "input")


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
        self.variants: list[list[dict[str, Any]]] = []
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
        if tag not in VOID:
            self.open.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop()[0] == tag  # every tag is closed, in order

    def handle_data(self, data: str) -> None:
        tag, attributes = self.open[-1] if self.open else ("", {})
        if tag == "script" and attributes.get("type") == "application/json":
            assert "<" not in data  # nothing in there can close the element
            self.figures.append(json.loads(data)) if attributes.get("id") != "variants" else self.variants.extend(json.loads(data))
        elif tag == "script":
            self.scripts.append(data)
        elif tag == "style":
            self.styles.append(data)
        else:
            self.words.append(data)


def named(page: Page, name: str) -> list[dict[str, Any]]:
    """The figures of this name, task by task."""
    return [figure for figure in page.figures if figure["name"] == name]


def reported(folder: Path, baseline: str | None = None) -> Page:
    path = folder.parent / "report.html"
    write_report(*find_runs([folder]), path, baseline)
    return Page(path)


@pytest.fixture
def page(messy: Path) -> Page:
    return reported(messy, "lstm")


def test_the_page_says_what_there_is(page: Page):
    counts = ("19 runs", "16 finished", "2 failed", "1 running", "5 skipped")
    for said in (*counts, "hidden_size=128", "0.0060 ± 0.0025", "+0.100 ± 0.022 worse"):
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
        ("lstm-adding-s12-", "its time to solve is left out: metrics.jsonl, line 2, is damaged; its curves are left out: metrics"),
    ):
        assert re.search(f"{name}[^ ]* {re.escape(reason)}", skipped), name


def test_filters_know_options_that_hold_lists(make_run, tmp_path: Path):
    for betas in ([0.9, 0.99], [0.8, 0.99]):
        make_run("lstm", **{"optimizer.betas": betas})
    html = build_page(*find_runs([tmp_path / "runs"])).html
    tokens = set(re.findall('data-token="([^"]*)"', html))
    assert {"betas=[0.9, 0.99]", "betas=[0.8, 0.99]"} < tokens
    rows = [json.loads(text.replace("&#34;", '"')) for text in re.findall('data-tokens="([^"]*)"', html)]
    assert sorted(rows) == [["cell:lstm", "betas=[0.8, 0.99]"], ["cell:lstm", "betas=[0.9, 0.99]"]]


def test_write_report_returns_what_it_left_out(messy: Path):
    found = find_runs([messy])
    left_out = write_report(*found, messy.parent / "report.html")
    assert left_out[: len(found[1])] == found[1]
    assert [item.path.name[:15] for item in left_out[len(found[1]) :]] == ["lstm-adding-s11", "lstm-adding-s12"]


def test_the_page_needs_nothing_else(page: Page):
    assert all(target.startswith(("#", "data:")) for target in page.loaded), page.loaded
    assert not any("@import" in style or "url(" in style for style in page.styles)
    assert page.tags["script"] == len(page.figures) + 1 + 4  # their data, the variants; two libraries and two files of ours
    assert len([script for script in page.scripts if script.strip()]) == 4
    policy = re.search('Content-Security-Policy" content="([^"]*)"', page.source)
    assert policy is not None
    assert policy[1].startswith("default-src &#39;none&#39;; script-src &#39;sha256-")
    assert "unsafe" not in policy[1].replace("style-src &#39;unsafe-inline&#39;", "")
    assert "connect-src &#39;none&#39;" in policy[1]
    assert not {"img", "iframe", "object", "embed", "base"} & set(page.tags)


def test_the_licences_of_what_is_bundled(page: Page):
    assert page.source.count("Permission to use, copy, modify, and/or distribute this software") == 2


def test_every_figure_has_caption_and_download(page: Page):
    assert page.tags["figure"] == page.tags["figcaption"] == len(page.figures)
    assert page.source.count('data-save="csv"') == len(page.figures)
    names = Counter(figure["name"] for figure in page.figures)
    assert names["ranking"] == names["learning"] == names["memory"] == names["gate-units"] == 2  # of two tasks
    assert names["options"] == 1  # only on one of them an option was varied


def test_a_cell_has_one_colour_on_the_whole_page(page: Page):
    colours: dict[str, set[int]] = {}
    for variant in (variant for problem in page.variants for variant in problem):
        colours.setdefault(variant["name"].partition(",")[0], set()).add(variant["colour"])
    assert colours == {cell: {look_of(cell)[0]} for cell in ("lstm", "gru")}
    style = " ".join(page.styles)
    for (colour,) in colours.values():
        assert COLOURS[colour] in style


def test_filters(page: Page):
    tokens = re.findall('data-token="([^"]*)"', page.source)
    assert tokens == ["task:adding", "task:copying", "cell:gru", "cell:lstm", "hidden_size=64", "hidden_size=128"]
    rows = [json.loads(text.replace("&#34;", '"')) for text in re.findall('data-tokens="([^"]*)"', page.source)]
    assert ["cell:lstm", "hidden_size=128"] in rows
    assert page.variants[0][0]["tokens"] == ["cell:lstm", "hidden_size=128"]  # the best of the first task


def test_the_words_in_front(make_run, tmp_path: Path):
    """Each cell is introduced, conclusions come first, and memory is only spoken of where something was learnt."""
    for seed in range(3):
        make_run("lstm", "adding", seed, score=0.001 + 0.0001 * seed, keeps=0.80 + 0.01 * seed)
        make_run("gru", "adding", seed, score=0.002 + 0.0001 * seed, keeps=0.95 + 0.01 * seed)
        make_run("lstm", "copying", seed, score=0.1, keeps=0.9)
    front, _, rest = reported(tmp_path / "runs", "lstm").text.partition("adding mse, lower is better")
    assert "gru What gru does lstm What lstm does" in front
    assert "The longest unit of gru keeps its state for" in front.partition("adding. ")[2]
    assert "adding. The longest unit" not in front  # what differs comes before it
    assert "No run has learnt this task" in front
    assert "The gradient of a loss at the end" not in front  # it stands at the figures of gradients
    assert "What gru does" not in rest


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
    assert page.tags["script"] == len(page.figures) + 1 + 4
    assert page.handlers == []
    assert EVIL in page.text  # it is shown, as text
    assert any(EVIL in variant["name"] for variant in page.variants[0])  # charts write it with textContent


def test_a_sweep_that_has_just_begun(make_run, tmp_path: Path):
    make_run("lstm", state="running")
    gru = make_run("gru", state="running")
    for name in ("metrics.jsonl", "arrays.jsonl"):
        (gru / name).unlink()
    page = reported(tmp_path / "runs")
    assert "2 running" in page.text
    (figure,) = named(page, "learning")
    assert figure["panels"][0]["y"]["label"] == "validation mse"
    assert len(figure["panels"][0]["series"]) == 1


def test_no_runs_at_all(tmp_path: Path):
    path = tmp_path / "report.html"
    assert write_report([], [], path) == []
    assert "0 runs" in Page(path).text


def test_more_variants_than_line_styles(make_run, tmp_path: Path):
    for size in range(1, 9):
        make_run(score=0.1 * size, **{"model.hidden_size": size})
    page = reported(tmp_path / "runs")
    assert len(named(page, "ranking")[0]["panels"][0]["series"]) == 6
    assert "Left out of the figures: lstm, hidden_size=7; lstm, hidden_size=8." in page.text


def test_missing_and_silent_runs_are_named(make_run, tmp_path: Path):
    for seed in range(3):
        make_run("lstm", seed=seed)
    status = make_run("gru", state="running") / "status.json"
    status.write_text(json.dumps(json.loads(status.read_text()) | {"updated": 0}))
    text = reported(tmp_path / "runs").text
    assert "Missing on adding, where others have them: gru: seeds 1, 2." in text
    assert re.search(r"their processes are gone or give no sign of life; .*: gru-adding-s0-", text)


def test_the_commands_that_repeat_it(make_run, tmp_path: Path):
    for seed in range(2):
        make_run(seed=seed, provenance={"command": ["/bin/gatelab", "-m", "cell=lstm", "out=a b"]})
    runs, skipped = find_runs([tmp_path / "runs"])
    html = build_page(runs, skipped, command="gatelab report runs -o x.html").html
    assert html.count("gatelab train -m cell=lstm &#39;out=a b&#39;\n") == 1
    assert "gatelab report runs -o x.html" in html


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
    assert page.text.count(" 50 0.5 (0.5 to 0.5) ") == 10  # fifty equal scores have a median
    assert len(page.source) < 8_000_000


@pytest.mark.slow
def test_reading_never_imports_torch():
    imported = "any(name in sys.modules for name in ('torch', 'lightning', 'hydra'))"
    program = f"import sys, gatelab.analysis.report.document; sys.exit({imported})"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
