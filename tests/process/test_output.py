"""What reaches the terminal and logs: text from outside is shown and never obeyed."""

import ast
import io
import logging
from pathlib import Path
from typing import Any

import pytest
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

import gatelab
from gatelab.process.console import Console
from gatelab.process.output import LogFormatter, say, visible

HOSTILE = "\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \r\x08\x7f \u202egnp.exe \udce4"
SHOWN = r"\x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b2J \r\x08\x7f \u202egnp.exe \udce4"


def test_visible():
    assert visible(HOSTILE) == SHOWN
    assert visible("ä – ± 日本\tx\ny") == "ä – ± 日本\tx\ny"


def test_lines(capsys: pytest.CaptureFixture[str]):
    say(HOSTILE, "second")
    say(HOSTILE, stderr=True)
    assert capsys.readouterr() == (f"{SHOWN}\nsecond\n", f"{SHOWN}\n")


def drawn(*things: object, **options: Any) -> str:
    file = io.StringIO()
    console = Console(file=file, width=200, force_terminal=True, color_system="standard")
    for thing in things:
        console.print(thing, **options)
    return file.getvalue()


def test_the_console_shows_what_a_string_holds():
    assert SHOWN in drawn(HOSTILE, highlight=False)
    assert r"\x1b[31mred\x1b[0m \x1b]0;title" in drawn(Text(HOSTILE))  # some characters Rich leaves out itself
    assert "[red]x[/red] :smile: [link=http://x]y" in drawn("[red]x[/red] :smile: [link=http://x]y", highlight=False)


def test_a_table_shows_what_its_cells_hold():
    table = Table("[red]heading", title="[red]title")
    table.add_row(HOSTILE)
    table.add_row(Text(HOSTILE))
    text = drawn(table)
    assert text.count(r"\x1b[31mred\x1b[0m \x1b]0;title") == 2
    assert "[red]heading" in text
    assert "\x1b]0;" not in text


def test_styles_and_progress_keep_their_own_codes():
    assert "\x1b[31mx\x1b[0m" in drawn(Text("x", "red"))
    file = io.StringIO()
    with Progress(console=Console(file=file, force_terminal=True)) as bar:
        bar.add_task("[red]work")
    assert "\x1b[2K" in file.getvalue()  # the bar replaces its own line


def test_logs():
    record = logging.LogRecord("x", logging.WARNING, "", 0, "%s", (HOSTILE,), None)
    assert LogFormatter("%(levelname)s: %(message)s").format(record) == f"WARNING: {SHOWN}"


def test_nothing_prints_past_them():
    """Every module prints through `gatelab.process.output` or `gatelab.process.console`."""
    root = Path(gatelab.__file__).parent
    past = []
    for file in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            prints = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
            rich = isinstance(node, ast.ImportFrom) and node.module == "rich.console" and "Console" in [n.name for n in node.names]
            if isinstance(node, ast.Call | ast.ImportFrom) and (prints or rich) and file.name not in ("output.py", "console.py"):
                past.append(f"{file.relative_to(root)}:{node.lineno}")
    assert past == []
