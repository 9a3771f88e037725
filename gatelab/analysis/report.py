"""The report: one HTML file that needs nothing else, neither other files nor a network."""

import contextlib
import html
import itertools
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from pathlib import Path

from plotly.offline import get_plotlyjs

from gatelab.analysis.formats import Section, caption, name, sections, short_options
from gatelab.analysis.groups import Group, flat, read_provenance
from gatelab.analysis.plots import DASHES, Figure, Line, cell_styles, density_figure, training_figure, wants_log
from gatelab.analysis.series import Records, read_records, thinned
from gatelab.analysis.table import Comparison, Row, compare
from gatelab.registry import UserError
from gatelab.runs import Run, Skipped

_POINTS, _SMALL_POINTS = 200, 60  # of a curve: more than a chart has pixels for would only make the page heavy
_ALL_POINTS = 400_000  # of all small charts together: some 20 MB
_GATE = re.compile(r"gate/([^/]+)/(.+)/(?:mean|saturated_left|saturated_right)")
_STATISTICS = (("mean", "mean activation"), ("saturated_left", "share below 0.1"), ("saturated_right", "share above 0.9"))


@dataclass(frozen=True)
class _Plotted:
    """A configuration whose curves are drawn."""

    row: Row
    line: Line
    records: Records


def write_report(runs: Iterable[Run], skipped: Iterable[Skipped], path: Path, baseline: str | None = None) -> list[Skipped]:
    """Writes the report on the runs.

    Args:
        runs, skipped: what `find_runs` found.
        path: the file to write; an older one is replaced when the new one is complete.
        baseline: the cell that the others are compared with.

    Returns:
        All that was left out: `skipped` and what turned out to be damaged.

    Raises:
        UserError: there is no run of the baseline, or the file cannot be written.
    """
    comparison = compare(runs, baseline)
    left_out = [*skipped, *comparison.skipped]
    styles = cell_styles(row.cell for row in comparison.rows)
    problems = []
    pairs = zip(comparison.rows, comparison.groups, strict=True)
    for _, members in itertools.groupby(pairs, key=lambda pair: pair[0].problem):
        plotted, hidden, damaged = _read(list(members), styles, len(problems))
        left_out += damaged
        problems.append((plotted, hidden))
    series = sum(len(item.records.curves) for plotted, _ in problems for item in plotted)
    small = max(12, min(_SMALL_POINTS, _ALL_POINTS // max(series, 1)))
    shown = sections(comparison.rows)
    titles = [section.title for section in shown]
    body = [_head(comparison, left_out, titles), _results(shown, caption(comparison.rows, baseline))]
    body += [_problem(number, titles[number], plotted, hidden, small) for number, (plotted, hidden) in enumerate(problems)]
    body += [_failed(comparison.groups), _skipped(left_out), _provenance(comparison.groups)]
    _write(path, _page("".join(body)))
    return left_out


def _read(
    members: Sequence[tuple[Row, Group]], styles: dict[str, tuple[str, str]], problem: int
) -> tuple[list[_Plotted], list[str], list[Skipped]]:
    """What is drawn of one problem, the names of what is not for want of line styles, and damaged runs."""
    short = short_options(row.options for row, _ in members)
    plotted: list[_Plotted] = []
    hidden, skipped = [], []
    drawn: Counter[str] = Counter()
    # The same options have the same dashes in all cells, as long as there are dashes for all options.
    options = sorted(short, key=_natural)
    for row, group in members:
        alive = [run for run in group.runs if run.state != "failed"]
        label = name(row.cell, short[row.options])
        if alive and drawn[row.cell] >= len(DASHES):
            hidden.append(label)
        elif alive:
            records, damaged = read_records(alive, _POINTS)
            skipped += damaged
            if records.runs:
                dash = DASHES[options.index(row.options) if len(options) <= len(DASHES) else drawn[row.cell]]
                line = Line(f"{problem}-{len(plotted)}", label, styles[row.cell][0], styles[row.cell][1], dash)
                plotted.append(_Plotted(row, line, records))
                drawn[row.cell] += 1
    return plotted, hidden, skipped


def _natural(text: str) -> list[str]:
    """Sorts 64 before 128."""
    return [part.zfill(12) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def _head(comparison: Comparison, skipped: Sequence[Skipped], titles: Sequence[str]) -> str:
    runs = [run for group in comparison.groups for run in group.runs]
    states = Counter(run.state for run in runs)
    folders = sorted({str(run.path.parent) for run in runs})
    named = ", ".join(f"<code>{_text(folder)}</code>" for folder in folders[:5])
    more = f" and {len(folders) - 5} more" if len(folders) > 5 else ""
    written = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    counts = [f"{len(runs)} runs", f"{states['finished']} finished"]
    counts += [f'<a href="#failed">{states["failed"]} failed</a>'] if states["failed"] else []
    counts += [f"{states['running']} running"] if states["running"] else []
    counts += [f'<a href="#skipped">{len(skipped)} skipped</a>'] if skipped else []
    links = "".join(f'<a href="#problem-{number}">{_text(title)}</a>' for number, title in enumerate(titles))
    return (
        "<header><h1>Comparison of gating variants</h1>"
        f'<p>{", ".join(counts)}.</p><p class="faint">gatelab, {_text(written)}; from {named or "no folder"}{more}.</p>'
        f"<nav>{links}</nav></header>"
    )


def _results(shown: Sequence[Section], said: str) -> str:
    tables = "".join(_table(section) for section in shown)
    return f'<section><h2>Results</h2>{tables}<p class="faint">{_text(said)}</p></section>'


def _table(section: Section) -> str:
    classes = ["words" if number < section.text_columns else "" for number in range(len(section.columns))]
    columns = list(zip(classes, section.columns, strict=True))
    head = "".join(f'<th class="{kind}" scope="col">{_text(title)}</th>' for kind, title in columns)
    body = []
    for cells, best, verdict in zip(section.cells, section.best, section.verdicts, strict=True):
        judged = {True: "better", False: "worse", None: ""}[verdict]
        kinds = [judged if title == "difference" else kind for kind, title in columns]
        line = "".join(f'<td class="{kind}">{_text(cell)}</td>' for kind, cell in zip(kinds, cells, strict=True))
        body.append(f'<tr class="{"best" if best else ""}">{line}</tr>')
    notes = "".join(f'<p class="faint">{_text(note)}</p>' for note in section.notes)
    return (
        f'<h3>{_text(section.title)}</h3><p class="faint">{_text(section.subtitle)}</p>'
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>{notes}'
    )


def _problem(number: int, title: str, plotted: Sequence[_Plotted], hidden: Sequence[str], points: int) -> str:
    parts = [f'<section id="problem-{number}"><h2>{_text(title)}</h2>']
    if not plotted:
        return "".join([*parts, '<p class="faint">No run has recorded anything yet.</p></section>'])
    parts.append(_legend(plotted))
    if hidden:
        parts.append(
            f'<p class="faint">The best {len(DASHES)} settings of a cell are drawn. Left out: {_text("; ".join(hidden))}.</p>'
        )
    metric, row = _metric(plotted), next((item.row for item in plotted if item.row.n), plotted[0].row)
    levels = {level: value for level, value in (("chance", row.chance), ("solved at", row.solved)) if value is not None}
    curves = [(item.line, item.records.curves[metric]) for item in plotted if metric in item.records.curves]
    direction = f" ({'higher' if row.higher_is_better else 'lower'} is better)" if row.metric else ""
    log = wants_log([curve for _, curve in curves]) and not row.higher_is_better
    parts.append(
        "<h3>Learning curves</h3><p class='faint'>Mean over the seeds, band from the smallest to the largest seed; thin where not "
        "all seeds have come so far. Finished and running runs, without failed ones.</p>"
    )
    parts.append(_figure(training_figure(curves, f"validation {metric.removeprefix('val/')}{direction}", levels, log), large=True))
    parts += [_gates(plotted, points), _gradients(plotted, points), "</section>"]
    return "".join(parts)


def _metric(plotted: Sequence[_Plotted]) -> str:
    """The validation score to draw: the task's, or while no run has finished the first that is not the loss."""
    if plotted[0].row.metric:  # the same in all rows of a problem
        return f"val/{plotted[0].row.metric}"
    keys = {key for item in plotted for key in item.records.curves if key.startswith("val/")}
    return min(keys - {"val/loss"}, default="val/loss")


def _legend(plotted: Sequence[_Plotted]) -> str:
    """One button for each configuration; it hides its lines."""
    dashes = {"solid": "", "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3", "longdash": "12 4", "longdashdot": "12 3 2 3"}
    shapes = {
        "circle": '<circle cx="15" cy="7" r="4"/>',
        "square": '<path d="M11 3h8v8h-8z"/>',
        "diamond": '<path d="M15 2l5 5-5 5-5-5z"/>',
        "cross": '<path d="M13 2h4v3h3v4h-3v3h-4v-3h-3v-4h3z"/>',
        "triangle-up": '<path d="M15 2l5 9h-10z"/>',
    }
    buttons = []
    for item in plotted:
        line = item.line
        buttons.append(
            f'<button type="button" data-line="{line.key}" aria-pressed="true"><svg width="30" height="14" fill="{line.colour}" '
            f'stroke-width="2.5"><path d="M0 7h30" stroke="{line.colour}" stroke-dasharray="{dashes[line.dash]}"/>'
            f"{shapes.get(line.symbol, '')}</svg>{_text(line.name)} <span class='faint'>n = {item.records.runs}</span></button>"
        )
    return f'<div class="legend" title="Click to hide or show">{"".join(buttons)}</div>'


def _gates(plotted: Sequence[_Plotted], points: int) -> str:
    """For each gate its mean, its saturation at both ends and the distribution of its activations."""
    matches = (_GATE.fullmatch(key) for item in plotted for key in item.records.curves)
    gates = {(match[1], match[2]) for match in matches if match}
    gates |= {tuple(key.split("/", 2)[1:]) for item in plotted for key in item.records.histograms if key.count("/") >= 2}
    if not gates:
        return ""
    parts = [
        "<h3>Gates over training</h3><p class='faint'>Activations of each gate, over units, time steps and sequences of a batch: "
        "mean, shares saturated at either end, and the distribution in the last record.</p>"
    ]
    for layer, gate in sorted(gates, key=lambda key: (_natural(key[0]), key[1])):
        keys = [(f"gate/{layer}/{gate}/{statistic}", title) for statistic, title in _STATISTICS]
        figures = [_over_training(plotted, key, title, points, unit_range=True) for key, title in keys]
        found = [(item.line, item.records.histograms.get(f"gate/{layer}/{gate}")) for item in plotted]
        densities = [(line, values) for line, values in found if values is not None]
        figures.append(_figure(density_figure(densities)) if densities else "")
        parts.append(f'<h4>{_text(gate)} gate, layer {_text(layer)}</h4><div class="grid">{"".join(figures)}</div>')
    return "".join(parts)


def _gradients(plotted: Sequence[_Plotted], points: int) -> str:
    """The global gradient norm, and folded away that of every parameter and every gate's block of one."""
    keys = sorted({key for item in plotted for key in item.records.curves if key.startswith("grad/")}, key=_natural)
    if not keys:
        return ""
    parts = ["<h3>Gradient norms over training</h3>"]
    if "grad/norm" in keys:
        curves = [(item.line, item.records.curves["grad/norm"]) for item in plotted if "grad/norm" in item.records.curves]
        parts.append(_figure(training_figure(curves, "global gradient norm, before clipping", log=True), large=True))
    blocks = {key: f"‖{key.removeprefix('grad/')}‖" for key in keys if key != "grad/norm"}
    figures = "".join(_over_training(plotted, key, title, points, log=True) for key, title in blocks.items())
    if figures:
        parts.append(
            "<details><summary>By parameter and gate</summary><p class='faint'>Norms of the gradients of each parameter and of "
            f"the block of it that belongs to a gate.</p><div class='grid'>{figures}</div></details>"
        )
    return "".join(parts)


def _over_training(
    plotted: Sequence[_Plotted], key: str, title: str, points: int, log: bool = False, unit_range: bool = False
) -> str:
    """A small chart of one quantity; nothing if nobody recorded it."""
    curves = [(item.line, thinned(item.records.curves[key], points)) for item in plotted if key in item.records.curves]
    return _figure(training_figure(curves, title, log=log, unit_range=unit_range)) if curves else ""


def _failed(groups: Sequence[Group]) -> str:
    failed = [run for group in groups for run in group.runs if run.state == "failed"]
    if not failed:
        return ""
    parts = ['<section id="failed"><h2>Failed runs</h2>']
    for run in sorted(failed, key=lambda run: str(run.path)):
        status = run.status
        steps = f"{status.get('step', 'unknown')} of {status.get('max_steps', 'unknown')}"
        parts.append(
            f'<article class="run"><b>{_text(run.path.name)}</b><p>{_text(status.get("error", "No error was recorded."))}</p>'
            f'<p class="faint">Step {_text(steps)}; last good checkpoint: {_text(status.get("checkpoint") or "none")}; '
            f"folder <code>{_text(run.path)}</code></p>"
            f"<details><summary>Traceback</summary><pre>{_text(status.get('traceback') or 'none')}</pre></details></article>"
        )
    return "".join([*parts, "</section>"])


def _skipped(skipped: Sequence[Skipped]) -> str:
    if not skipped:
        return ""
    return '<section id="skipped"><h2>Skipped</h2>' + _facts((str(item.path), item.reason) for item in skipped) + "</section>"


def _provenance(groups: Sequence[Group]) -> str:
    """Every fact that the runs noted about their origin: its value where they agree, else how many there are of each."""
    values: dict[str, Counter[str]] = {}
    for run in (run for group in groups for run in group.runs):
        for key, value in flat(read_provenance(run)).items():
            values.setdefault(key, Counter())[value] += 1
    if not values:
        return ""

    def said(counts: Counter[str]) -> str:
        if len(counts) == 1:
            return next(iter(counts))
        common = [f"{value} ({count} runs)" for value, count in counts.most_common(4)]
        return "; ".join(common) + (f"; {len(counts) - 4} more values" if len(counts) > 4 else "")

    return "<section><h2>Provenance</h2>" + _facts((key, said(counts)) for key, counts in sorted(values.items())) + "</section>"


def _facts(pairs: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><td>{_text(key)}</td><td>{_text(value)}</td></tr>" for key, value in pairs)
    return f'<div class="scroll"><table class="facts"><tbody>{rows}</tbody></table></div>'


def _figure(figure: Figure, large: bool = False) -> str:
    # "<" would let a name close the script element.
    data = json.dumps(figure, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    kind = "plot large" if large else "plot"
    return f'<div class="{kind}"><script type="application/json">{data}</script><div style="height:100%"></div></div>'


def _text(value: object) -> str:
    """Anything from a file, as text of the page."""
    return html.escape(str(value))


def _page(body: str) -> str:
    """The whole page. Its security policy forbids the browser to fetch anything, so that it stays self-contained."""
    here = files("gatelab.analysis")
    policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>gatelab report</title>'
        '<link rel="icon" href="data:,">'
        f"<style>{here.joinpath('report.css').read_text('utf-8')}</style></head>\n<body>{body}"
        f"<script>{get_plotlyjs()}</script>\n<script>{here.joinpath('report.js').read_text('utf-8')}</script></body></html>\n"
    )


def _write(path: Path, text: str) -> None:
    """Writes to a temporary name, then renames: a reader sees the old page or the new one, never a half."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise UserError(f"The report cannot be written to '{path}': {error.strerror or error}.") from error
    finally:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
