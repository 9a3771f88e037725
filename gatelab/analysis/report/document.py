"""The report: one HTML file that needs nothing else, neither other files nor a network."""

import base64
import hashlib
import json
import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from gatelab.analysis.comparison.conclusions import Conclusions, conclusions
from gatelab.analysis.comparison.introductions import introductions
from gatelab.analysis.comparison.sections import Section, caption, sections
from gatelab.analysis.comparison.table import compare
from gatelab.analysis.figures import CHAPTERS, OVERALL, DrawnVariant, Figure, Problem, plain, together
from gatelab.analysis.figures.from_runs import POINTS, missing, read_problems, states
from gatelab.analysis.figures.looks import DASHES, SYMBOLS, style_sheet
from gatelab.analysis.figures.memory_words import IN_SHORT, memory_words
from gatelab.analysis.reading.option_values import flat
from gatelab.analysis.reading.solving import TimeUnit
from gatelab.errors import UserError
from gatelab.runs import Run, Skipped
from gatelab.runs.files import replacing
from gatelab.runs.sweep import live_state

_SCRIPTS = ("vendor/d3.min.js", "vendor/plot.umd.min.js", "charts.js", "page.js")
_FEWEST_POINTS = 24
_POINTS_OF_ALL = 4_000  # of one quantity over all variants: a dozen quantities of them are some 2 MB
_COMMANDS = 12


@dataclass(frozen=True)
class Page:
    """A report: its HTML, and what was left out of it, with the reason."""

    html: str
    skipped: list[Skipped]


def write_report(
    runs: Iterable[Run],
    skipped: Iterable[Skipped],
    path: Path,
    baseline: str | None = None,
    command: str = "",
    level: float | None = None,
    unit: TimeUnit = "steps",
) -> list[Skipped]:
    """Writes the report on the runs.

    Args:
        runs, skipped: what `find_runs` found.
        path: the file to write; an older one is replaced when the new one is complete.
        baseline: the cell that the others are compared with.
        command: what makes this page again.
        level, unit: from which score on a task counts as solved, and the unit of the time to that, as for `compare`.

    Returns:
        All that was left out: `skipped` and what turned out to be damaged.

    Raises:
        UserError: there is no run of the baseline, or the file cannot be written.
    """
    page = build_page(runs, skipped, baseline, command, level=level, unit=unit)
    _write(path, page.html)
    return page.skipped


def build_page(
    runs: Iterable[Run],
    skipped: Iterable[Skipped],
    baseline: str | None = None,
    command: str = "",
    live: bool = False,
    level: float | None = None,
    unit: TimeUnit = "steps",
) -> Page:
    """The page as text; `live`: it asks the server it came from for news. See `write_report`."""
    comparison = compare(runs, baseline, level, unit)
    points = max(_FEWEST_POINTS, min(POINTS, _POINTS_OF_ALL // max(len(comparison.rows), 1)))
    problems, own = read_problems(comparison, points)
    left_out = [*skipped, *own]
    whole = together(problems)
    every = [run for row in comparison.rows for run in row.variant.runs]
    body = {
        "counts": states(run.state for run in every),
        "total": len(every),
        "folders": sorted({str(run.path.parent) for run in every}),
        "written": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z"),
        "cells": introductions(comparison.rows),
        "caption": caption(comparison.rows, baseline),
        "problems": [
            {**_problem(problem, section, conclusion), "table": section, "rows": _rows(problem, section)}
            for problem, section, conclusion in zip(
                problems, sections(comparison.rows), conclusions(comparison.rows, baseline), strict=True
            )
        ],
        "overall": [_figure(figure) for function in OVERALL if problems and (figure := function(whole)) is not None],
        "filters": _filters(problems),
        "variants": _json([[_variant(variant) for variant in problem.variants] for problem in (*problems, whole)]),
        "failed": [_failure(run) for run in sorted(every, key=lambda run: str(run.path)) if run.state == "failed"],
        "silent": [run.path.name for run in every if live_state(run) in ("interrupted", "stale")],
        "missing": [(problem.title, lacks) for problem in problems if (lacks := missing(problem))],
        "skipped": left_out,
        "provenance": _provenance(every),
        "commands": _commands(every),
        "again": command,
        "live": live,
    }
    return Page(_template().render(**body, **_assets(live)), left_out)


def _problem(problem: Problem, section: Section, conclusion: Conclusions) -> dict[str, Any]:
    chapters = []
    for title, functions in CHAPTERS.items():
        drawn = [figure for function in functions if problem.variants and (figure := function(problem)) is not None]
        if drawn:
            chapters.append((title, " ".join(memory_words(problem, title)), [_figure(figure) for figure in drawn]))
    return {
        "number": problem.number,
        "title": problem.title,
        "subtitle": section.subtitle,
        "words": [words for words in (conclusion.sentences if problem.scored.n else [], memory_words(problem, IN_SHORT)) if words],
        "chapters": chapters,
        "hidden": problem.hidden,
    }


def _figure(figure: Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "title": figure.title,
        "caption": figure.caption,
        "wide": figure.wide,
        "data": _json(plain(figure)),
    }


def _rows(problem: Problem, section: Section) -> list[dict[str, Any]]:
    """The rows of the table, with what the filters know them by."""
    rows = []
    members = zip(problem.rows, section.cells, section.best, section.better, section.options, strict=True)
    for row, cells, best, better, options in members:
        judged = {True: "better", False: "worse", None: ""}[better]
        kinds = [
            "words" if number < section.text_columns else judged if title == section.judged else ""
            for number, title in enumerate(section.columns)
        ]
        tokens = [f"cell:{row.cell}", *options.written]
        rows.append({"cells": list(zip(kinds, cells, strict=True)), "best": best, "tokens": json.dumps(tokens)})
    return rows


def _filters(problems: Sequence[Problem]) -> dict[str, list[dict[str, Any]]]:
    """What can be switched off: tasks, cells with their looks, and values of the options that differ."""
    found: dict[str, list[dict[str, Any]]] = {
        "task": [{"token": f"task:{p.title}", "text": p.title} for p in problems],
        "cell": [],
    }
    looks: dict[str, DrawnVariant] = {}
    for problem in problems:
        for variant in problem.variants:
            looks.setdefault(variant.row.cell, variant)
    for cell, variant in sorted(looks.items()):
        found["cell"].append({"token": f"cell:{cell}", "text": cell, **_look(variant)})
    values: dict[str, set[str]] = {}
    for variant in (variant for problem in problems for variant in problem.variants):
        for key, value in variant.options.items():
            values.setdefault(key, set()).add(value)
    for key, every in sorted(values.items()):
        found[key] = [{"token": f"{key}={value}", "text": value} for value in sorted(every, key=lambda text: (len(text), text))]
    return found


def _look(variant: DrawnVariant) -> dict[str, Any]:
    # Where options have the dashes, a cell is known by colour and symbol alone.
    return {"colour": variant.colour, "symbol": SYMBOLS[variant.symbol], "dash": "" if variant.options else DASHES[variant.dash]}


def _variant(variant: DrawnVariant) -> dict[str, Any]:
    tokens = [f"cell:{variant.row.cell}", *variant.options.written]
    look = {"colour": variant.colour, "symbol": SYMBOLS[variant.symbol], "dash": DASHES[variant.dash]}
    return {"name": variant.name, "tokens": tokens, "n": variant.recorded.runs, **look}


def _failure(run: Run) -> dict[str, Any]:
    status = run.status
    return {
        "name": run.path.name,
        "folder": str(run.path),
        "error": status.get("error") or "No error was recorded.",
        "step": status.get("step", "unknown"),
        "max_steps": status.get("max_steps", "unknown"),
        "checkpoint": status.get("checkpoint") or "none",
        "traceback": status.get("traceback") or "none",
    }


def _provenance(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Every fact that the runs noted about their origin: its value where they agree, else how many there are of each."""
    values: dict[str, Counter[str]] = {}
    for run in runs:
        for key, value in flat({key: value for key, value in run.provenance.items() if key not in ("command", "left_out")}).items():
            values.setdefault(key, Counter())[value] += 1

    def said(counts: Counter[str]) -> str:
        if len(counts) == 1:
            return next(iter(counts))
        common = [f"{value} ({count} runs)" for value, count in counts.most_common(4)]
        return "; ".join(common) + (f"; {len(counts) - 4} more values" if len(counts) > 4 else "")

    return [(key, said(counts)) for key, counts in sorted(values.items())]


def _commands(runs: Sequence[Run]) -> list[str]:
    """The commands that trained the runs, as a shell reads them; a run that exists is not trained again."""
    said: dict[str, None] = {}
    for run in runs:
        command = run.provenance.get("command")
        if isinstance(command, list) and len(command) > 1:
            said[shlex.join(["gatelab", "train", *(str(word) for word in command[1:] if word != "train")])] = None
    listed = list(said)
    return listed[:_COMMANDS] + ([f"# and {len(listed) - _COMMANDS} more"] if len(listed) > _COMMANDS else [])


def _json(value: Any) -> Markup:
    # "<" would let a name close the script element.
    return Markup(json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=False).replace("<", "\\u003c"))


def _asset(name: str) -> str:
    return files("gatelab.analysis.report").joinpath("page", *name.split("/")).read_text("utf-8")


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_asset("report.jinja"))


@cache
def _assets(live: bool) -> dict[str, Any]:
    """Style and scripts, and the policy by which the browser runs these scripts alone and fetches nothing from elsewhere."""
    scripts = [_asset(name) for name in _SCRIPTS]
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in scripts)
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        f"connect-src {chr(39)}{'self' if live else 'none'}{chr(39)}; base-uri 'none'; form-action 'none'"
    )
    return {
        "scripts": [Markup(text) for text in scripts],
        "style": Markup(style_sheet() + _asset("page.css")),
        "policy": policy,
        "licence": Markup(_asset("vendor/LICENSE.txt").replace("--", "- -")),
    }


def _write(path: Path, text: str) -> None:
    """Writes to a temporary name, then renames: a reader sees the old page or the new one, never a half."""
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, "utf-8")
    except OSError as error:
        raise UserError(f"The report cannot be written to '{path}': {error.strerror or error}.") from error
