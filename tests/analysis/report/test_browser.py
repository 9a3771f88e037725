"""Report and dashboard in a real browser, headless: Debian's Chromium, driven by Playwright.

Screenshots go to tests/artefacts/ (ignored by git) to be looked at.
"""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from analysis import synthetic

from gatelab.analysis.report.document import write_report
from gatelab.runs import find_runs

if TYPE_CHECKING:  # else everyone who collects tests would import it
    from playwright.sync_api import Browser, Dialog, Page

pytestmark = pytest.mark.slow

ARTEFACTS = Path(__file__).parents[2] / "artefacts"
EVIL = "<script>alert(1)</script>"
MAX_BYTES = 8_000_000
LAPTOP = {"width": 1366, "height": 768}
PATIENCE = 180_000  # milliseconds that anything may take on a busy machine; what hangs is found all the same


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    driver = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install -e .[dev]")
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        message = "there is no Chromium; on Debian: apt-get install chromium"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    ARTEFACTS.mkdir(exist_ok=True)
    with driver.sync_playwright() as playwright:
        # The sandbox needs rights that a container has not; what is opened here is our own page.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A page that remembers what went wrong, and what it asked for."""

    def __init__(self, browser: "Browser", **options: Any) -> None:
        self.page: Page = browser.new_page(viewport=LAPTOP, **options)  # type: ignore[arg-type]
        self.page.set_default_timeout(PATIENCE)
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", self._dismiss)
        self.page.on("request", lambda request: self.asked.append(request.url))

    def _dismiss(self, dialog: "Dialog") -> None:
        self.wrong.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def open(self, address: str) -> "Page":
        self.page.goto(address)
        self.page.wait_for_selector(".plot svg")
        return self.page

    def asked_elsewhere(self, own: str) -> list[str]:
        return [url for url in self.asked if not url.startswith((own, "data:", "blob:"))]

    def all_drawn(self) -> None:
        """Scrolls through the page until every figure that can be seen is drawn, as wide as it is now."""
        undrawn = self.page.evaluate(
            """async (patience) => {
              const seen = [...document.querySelectorAll(".plot")].filter((plot) => plot.checkVisibility());
              const isDrawn = (plot) => plot.querySelector("svg") && plot.drawn === plot.clientWidth;
              const until = performance.now() + patience;
              for (const plot of seen) {
                plot.scrollIntoView();
                while (!isDrawn(plot) && performance.now() < until) await new Promise(requestAnimationFrame);
              }
              scrollTo(0, 0);
              return seen.filter((plot) => !isDrawn(plot)).map((plot) => plot.id);
            }""",
            PATIENCE,
        )
        assert undrawn == []


@pytest.fixture
def watched(browser: "Browser") -> Iterator[Watched]:
    watched = Watched(browser, color_scheme="light", accept_downloads=True)
    yield watched
    watched.page.close()


@pytest.fixture
def report(make_run, tmp_path: Path) -> str:
    """Two tasks, three cells, two sizes, a failed run, a run that goes on, and a cell with a name that is markup."""
    for seed in range(3):
        for cell, keeps in (("lstm", 0.8), ("gru", 0.95), (EVIL, 0.6)):
            make_run(cell, "adding", seed, score=0.02 + 0.1 * keeps + 0.01 * seed, keeps=keeps + 0.01 * seed)
            make_run(cell, "copying", seed, score=keeps + 0.01 * seed, keeps=keeps)
        make_run("lstm", "adding", seed, score=0.005 + 0.001 * seed, keeps=0.9, **{"model.hidden_size": 128})
    make_run("gru", "copying", 3, state="failed", error=EVIL)
    make_run("lstm", "copying", 3, state="running")
    path = tmp_path / "report.html"
    write_report(*find_runs([tmp_path / "runs"]), path, "lstm", "gatelab report runs")
    return path.as_uri()


def series_drawn(page: "Page", figure: str) -> int:
    """Lines in the first panel of a figure."""
    return page.locator(f"#{figure} svg").first.locator('g[aria-label="line"] path').count()


def test_the_report_opens_without_a_fault(watched: Watched, report: str):
    page = watched.open(report)
    watched.all_drawn()
    page.screenshot(path=ARTEFACTS / "report-light.png")
    for fold in page.locator("main details summary").all():
        fold.click()
    watched.all_drawn()
    assert watched.wrong == []
    assert watched.asked == [report]
    assert page.locator("main").get_by_text(EVIL).count() > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= LAPTOP["width"]


def test_the_first_screen_answers(watched: Watched, report: str):
    """Who remembers longest, and through which gate: in words and as a picture, without scrolling."""
    page = watched.open(report)
    opening = page.locator(".short").bounding_box()
    assert opening is not None
    assert page.get_by_text("What gru does").first.is_visible()
    assert opening["y"] + opening["height"] <= LAPTOP["height"]
    for wanted in (page.get_by_text("The longest unit of gru keeps its state for").first, page.locator("#memory-0 svg").first):
        box = wanted.bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= LAPTOP["height"]


def test_filters(watched: Watched, report: str):
    page = watched.open(report)
    page.locator("#learning-0").scroll_into_view_if_needed()
    page.wait_for_selector("#learning-0 svg")
    assert series_drawn(page, "learning-0") == 4
    page.get_by_label("gru", exact=True).uncheck(force=True)
    assert series_drawn(page, "learning-0") == 3
    assert page.locator('#problem-0 tr[data-tokens*="cell:gru"]').is_hidden()
    page.get_by_label("128", exact=True).uncheck(force=True)
    assert series_drawn(page, "learning-0") == 2
    page.get_by_label("copying", exact=True).uncheck(force=True)
    assert page.locator("#problem-1").is_hidden()
    page.get_by_role("button", name="Show all").click()
    assert series_drawn(page, "learning-0") == 4
    assert page.locator("#problem-1").is_visible()
    for cell in ("gru", "lstm", EVIL):
        page.get_by_label(cell, exact=True).uncheck(force=True)
    assert page.locator("#learning-0").get_by_text("Nothing is left to draw").is_visible()
    assert watched.wrong == []


def test_the_keyboard_is_enough(watched: Watched, report: str):
    page = watched.open(report)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "jump"
    page.keyboard.press("Tab")
    page.keyboard.press("Space")  # the first filter
    assert page.locator("#problem-0").is_hidden()
    page.keyboard.press("Space")
    assert page.locator("#problem-0").is_visible()
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "theme":
            break
    page.keyboard.press("Enter")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert watched.wrong == []


def test_theme(watched: Watched, report: str):
    page = watched.open(report)
    background = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(background) == "rgb(20, 23, 26)"
    page.get_by_role("button", name="light theme").click()
    assert page.evaluate(background) == "rgb(255, 255, 255)"
    page.get_by_role("button", name="dark theme").click()
    watched.all_drawn()
    page.screenshot(path=ARTEFACTS / "report-dark.png")
    page.reload()
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"  # it is remembered
    assert watched.wrong == []


def test_downloads(watched: Watched, report: str):
    page = watched.open(report)
    figure = page.locator("#ranking-0")
    with page.expect_download() as started:
        figure.get_by_role("button", name="Data (CSV)").click()
    assert started.value.suggested_filename == "ranking-0.csv"
    rows = list(csv.DictReader(io.StringIO(Path(started.value.path()).read_text())))
    best = [row for row in rows if row["variant"] == "lstm, hidden_size=128"]
    assert [float(row["x"]) for row in best] == pytest.approx([0.006, 0.005, 0.006, 0.007])  # the mean, and the three seeds
    assert best[0]["x_axis"] == "test mse (lower is better)"
    with page.expect_download() as started:
        figure.get_by_role("button", name="Picture (SVG)").click()
    picture = Path(started.value.path()).read_text()
    assert picture.startswith("<svg")
    assert "var(--" not in picture
    assert EVIL not in picture
    assert watched.wrong == []


def test_a_name_that_a_spreadsheet_would_run(make_run, tmp_path: Path, watched: Watched):
    make_run("=cmd()")
    path = tmp_path / "report.html"
    write_report(*find_runs([tmp_path / "runs"]), path)
    page = watched.open(path.as_uri())
    with page.expect_download() as started:
        page.locator("#ranking-0").get_by_role("button", name="Data (CSV)").click()
    assert "'=cmd()" in Path(started.value.path()).read_text()


def test_print(watched: Watched, report: str):
    page = watched.open(report)
    printed = page.pdf(path=ARTEFACTS / "report.pdf", format="A4")
    assert printed.startswith(b"%PDF-")
    assert page.evaluate("[...document.querySelectorAll('.plot')].every(p => p.querySelector('svg'))")  # also what was never seen


def test_a_narrow_window(watched: Watched, report: str):
    page = watched.open(report)
    page.set_viewport_size({"width": 420, "height": 800})
    watched.all_drawn()
    page.screenshot(path=ARTEFACTS / "report-narrow.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= 420
    assert watched.wrong == []


def test_without_scripts_words_and_tables_remain(browser: "Browser", report: str):
    page = browser.new_page(java_script_enabled=False)
    page.goto(report)
    assert page.get_by_text("The longest unit of gru keeps its state for").first.is_visible()
    assert page.locator("#problem-0 table").is_visible()
    page.close()


def test_the_dashboard_follows_the_runs(make_run, tmp_path: Path, watched: Watched):
    make_run("lstm", state="running")
    program = [sys.executable, "-m", "gatelab.cli.main", "dashboard", str(tmp_path / "runs"), "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])}
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            address = next(word for word in line.split() if word.startswith("http://127.0.0.1:"))
            page = watched.open(address)
            page.get_by_text("1 still running.").wait_for()
            page.get_by_label("lstm", exact=True).uncheck(force=True)
            page.get_by_role("button", name="dark theme").click()
            make_run("lstm", state="finished")
            make_run("gru", state="finished")
            page.get_by_text("Nothing is running.").wait_for()
            page.get_by_text("2 runs, 2 finished").wait_for()
            assert not page.get_by_label("lstm", exact=True).is_checked()  # filters and theme have stayed
            assert page.get_by_label("gru", exact=True).is_checked()
            assert page.evaluate("document.documentElement.dataset.theme") == "dark"
            page.screenshot(path=ARTEFACTS / "dashboard.png")
            assert watched.wrong == []
            assert watched.asked_elsewhere(address) == []
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=PATIENCE / 1000)
            assert (process.returncode, err) == (0, "")
            assert "The dashboard has ended" in out
            page.get_by_text("no longer answers").wait_for()
        finally:
            process.kill()


def _processor_seconds(page: "Page") -> float:
    """What the processes of the browser have used of the processor."""
    browser = page.context.browser
    assert browser is not None
    session = browser.new_browser_cdp_session()
    try:
        return sum(process["cpuTime"] for process in session.send("SystemInfo.getProcessInfo")["processInfo"])
    finally:
        session.detach()


def test_five_hundred_runs(make_run, tmp_path: Path, watched: Watched, record_property, monkeypatch: pytest.MonkeyPatch):
    """The most variants that are drawn, and as many seeds as are left: heavier than many seeds of few variants."""
    monkeypatch.setattr(synthetic, "UNITS", 64)
    for seed in range(5):
        for cell in ("lstm", "gru", "cifg", "janet", "mgu"):
            for task in ("adding", "copying"):
                for size in range(10):
                    make_run(cell, task, seed, score=0.1 + 0.01 * size, **{"model.hidden_size": 16 + size})
    path = tmp_path / "report.html"
    began = time.process_time()
    write_report(*find_runs([tmp_path / "runs"]), path, "lstm")
    written = time.process_time() - began
    began = _processor_seconds(watched.page)
    page = watched.open(path.as_uri())
    opened = _processor_seconds(page) - began
    found = {
        "bytes": path.stat().st_size,
        "written_processor_seconds": round(written, 2),
        "opened_processor_seconds": round(opened, 2),
    }
    (ARTEFACTS / "five-hundred.json").write_text(json.dumps(found))
    print(f"500 runs: {found}")
    record_property("five_hundred_runs", found)
    watched.all_drawn()
    page.screenshot(path=ARTEFACTS / "five-hundred.png")
    assert page.get_by_text("500 runs, 500 finished").is_visible()
    assert found["bytes"] < MAX_BYTES
    assert 0 < opened < 20  # it is two; of the processor, whose time does not depend on what else runs
    assert watched.wrong == []
