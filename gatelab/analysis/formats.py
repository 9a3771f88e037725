"""The rows of a comparison as text: for the terminal, for a page, for other programs."""

import csv
import dataclasses
import io
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from gatelab.analysis.table import Row
from gatelab.registry import UserError, unknown
from gatelab.runs import Skipped

NOTHING = "–"


@dataclass(frozen=True)
class Section:
    """What is shown of the rows of one task.

    Attributes:
        title: the task; `subtitle`: its metric and levels.
        columns: the headings; `text_columns` of them, from the left, hold words, the others numbers.
        cells: (rows, columns).
        best: (rows,), whether to emphasise the row.
        verdicts: (rows,), better or worse than the baseline, as in `Row.better`.
        notes: one sentence each.
    """

    title: str
    subtitle: str
    columns: list[str]
    text_columns: int
    cells: list[list[str]]
    best: list[bool]
    verdicts: list[bool | None]
    notes: list[str]


def sections(rows: Iterable[Row]) -> list[Section]:
    """The rows as they are shown, problem by problem. Columns in which nothing stands are left out."""
    made = []
    for (task, task_options, _), group in itertools.groupby(rows, key=lambda row: row.problem):
        members = list(group)
        short = short_options(row.options for row in members)
        columns = _columns(members, short)
        made.append(
            Section(
                title=", ".join(filter(None, (task, task_options))),
                subtitle=_subtitle(members),
                columns=list(columns),
                text_columns=1 + ("options" in columns),
                cells=[[show(row) for show in columns.values()] for row in members],
                best=[row.best for row in members],
                verdicts=[row.better for row in members],
                notes=[f"{name(row.cell, short[row.options])}: {row.note}." for row in members if row.note],
            )
        )
    return made


def name(cell: str, options: str) -> str:
    """What a row is called outside of its table."""
    return f"{cell}, {options}" if options else cell


def short_options(options: Iterable[str]) -> dict[str, str]:
    """Options without their group, "hidden_size=128", unless two groups have an option of that name."""
    options = set(options)
    keys = {pair.partition("=")[0] for text in options for pair in text.split(", ")}
    last = [key.rpartition(".")[2] for key in keys]
    if len(set(last)) < len(last):
        return {text: text for text in options}
    return {text: ", ".join(pair[pair.partition("=")[0].rfind(".") + 1 :] for pair in text.split(", ")) for text in options}


def _columns(rows: list[Row], short: Mapping[str, str]) -> dict[str, Callable[[Row], str]]:
    """The headings and what stands under them."""
    columns: dict[str, Callable[[Row], str]] = {"cell": lambda row: row.cell}
    if any(row.options for row in rows):
        columns["options"] = lambda row: short[row.options] or NOTHING
    columns["n"] = lambda row: str(row.n)
    columns[f"test {rows[0].metric}".strip()] = lambda row: estimate(row.mean, row.low, row.high)
    if any(row.difference is not None or row.note for row in rows):
        columns["difference"] = _difference
    if any(row.solved_share is not None for row in rows):
        columns["solved"] = lambda row: _share(row.solved_share)
    columns["params"] = lambda row: NOTHING if row.parameters is None else f"{row.parameters:,}"
    columns["s/step"] = lambda row: NOTHING if row.seconds_per_step is None else f"{row.seconds_per_step:.2g}"
    if any(row.saturated is not None for row in rows):
        columns["saturated"] = lambda row: _share(row.saturated)
    if any(row.failed or row.running for row in rows):
        columns["unfinished"] = _unfinished
    return columns


def caption(rows: Iterable[Row], baseline: str | None = None) -> str:
    """What the numbers are, in sentences."""
    rows = list(rows)
    n, failed, running = (sum(getattr(row, key) for row in rows) for key in ("n", "failed", "running"))
    total = n + failed + running
    said = [
        f"{total} {'run' if total == 1 else 'runs'}: {n} finished, {failed} failed, {running} running.",
        "Test score: mean over n seeds ± half the width of its 95% Student-t interval (none for a single seed).",
    ]
    if baseline is not None:
        said.append(
            f"Difference: to {baseline}, ± Welch's 95% interval, not adjusted for the number of comparisons; "
            "better or worse where the interval excludes 0."
        )
    if any(row.saturated is not None for row in rows):
        said.append("Saturated: share of gate activations below 0.1 or above 0.9.")
    return " ".join(said)


def render(rows: Iterable[Row], format: str, baseline: str | None = None) -> str:  # noqa: A002 - the word of the command line
    """The rows as a text that ends with a line break.

    Args:
        rows: of a comparison.
        format: csv or json (every field of `Row`, full precision), or markdown (what `print_table` shows).
        baseline: named in the caption of markdown.

    Raises:
        UserError: there is no such format.
    """
    if format == "csv":
        return _csv(rows)
    if format == "json":
        return json.dumps({"rows": [_finite(dataclasses.asdict(row)) for row in rows]}, indent=1, allow_nan=False) + "\n"
    if format == "markdown":
        return _markdown(list(rows), baseline)
    raise UserError(unknown("format", format, ("csv", "json", "markdown")))


def print_table(rows: Iterable[Row], console: Console, baseline: str | None = None) -> None:
    """Prints one table for each task, the best mean in bold, and the caption."""
    rows = list(rows)
    if not rows:
        console.print("There are no runs to compare.")
        return
    for section in sections(rows):
        console.print(f"[bold]{escape(section.title)}[/bold]  {escape(section.subtitle)}", highlight=False)
        console.print(_table(section, console), crop=False)
        for note in section.notes:
            console.print(escape(note), style="dim", highlight=False)
        console.print()
    console.print(escape(caption(rows, baseline)), style="dim", highlight=False)


def _table(section: Section, console: Console) -> Table:
    """A table as wide as its contents. Rich would cut numbers short to make it fit, and a digit less is another number."""
    table = Table(box=None, header_style="dim", pad_edge=False)
    for number, heading in enumerate(section.columns):
        table.add_column(Text(heading), justify="left" if number < section.text_columns else "right", no_wrap=True)
    for cells, best, verdict in zip(section.cells, section.best, section.verdicts, strict=True):
        shown = dict(zip(section.columns, map(Text, cells), strict=True))
        if "options" in shown:
            shown["options"] = Text(shown["options"].plain.replace(", ", "\n"))
        if "difference" in shown and verdict is not None:
            shown["difference"].stylize("green" if verdict else "red")
        table.add_row(*shown.values(), style="bold" if best else None)
    width = 0
    for gap in (2, 1):
        table.padding = (0, gap, 0, 0)
        width = console.measure(table, options=console.options.update(width=10_000)).maximum
        if width <= console.width:
            break
    table.width = width
    return table


def print_skipped(skipped: Iterable[Skipped], console: Console) -> None:
    """Prints what could not be read, one line each."""
    for item in skipped:
        console.print(f"Skipped {escape(str(item.path))}: {escape(item.reason)}.", highlight=False, soft_wrap=True)


def estimate(value: float | None, low: float | None, high: float | None, sign: bool = False) -> str:
    """An estimate with half the width of its interval, to two digits of the latter: "0.0021 ± 0.0003"."""
    if value is None:
        return NOTHING
    plus = "+" if sign else ""
    half = None if low is None or high is None else (high - low) / 2
    largest = max(abs(value), half or 0.0)
    if not math.isfinite(value) or not (1e-4 <= largest < 1e6 or largest == 0):
        return f"{value:{plus}.3g}" + ("" if half is None else f" ± {half:.2g}")
    decimals = _decimals(half, 2) if half else _decimals(value, 4)
    return f"{value:{plus}.{decimals}f}" + ("" if half is None else f" ± {half:.{decimals}f}")


def _decimals(value: float, digits: int) -> int:
    """Decimal places that show so many digits of a value, eight at most."""
    return 0 if value == 0 else min(max(digits - 1 - math.floor(math.log10(abs(value))), 0), 8)


def _difference(row: Row) -> str:
    verdict = {True: " better", False: " worse", None: ""}[row.better]
    return estimate(row.difference, row.difference_low, row.difference_high, sign=True) + verdict


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0%}"


def _unfinished(row: Row) -> str:
    counts = [f"{getattr(row, state)} {state}" for state in ("failed", "running") if getattr(row, state)]
    return ", ".join(counts) or NOTHING


def _subtitle(rows: list[Row]) -> str:
    """Metric, direction and levels, which are the same for all runs of one task."""
    known = next((row for row in rows if row.n), None)
    if known is None:
        return "no finished run"
    said = [f"{known.metric}, {'higher' if known.higher_is_better else 'lower'} is better"]
    said += [f"{name} {value:.4g}" for name, value in (("chance", known.chance), ("solved at", known.solved)) if value is not None]
    return "; ".join(said)


def _finite(record: dict[str, Any]) -> dict[str, Any]:
    """JSON has neither nan nor infinity."""
    return {key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in record.items()}


def _csv(rows: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(dataclasses.asdict(row) for row in rows)
    return text.getvalue()


def _markdown(rows: list[Row], baseline: str | None) -> str:
    blocks = []
    for section in sections(rows):
        ruler = ["---" if number < section.text_columns else "---:" for number in range(len(section.columns))]
        lines = [_line(map(_plain, section.columns)), _line(ruler)]
        for cells, best in zip(section.cells, section.best, strict=True):
            lines.append(_line((f"**{_plain(cells[0])}**" if best else _plain(cells[0]), *map(_plain, cells[1:]))))
        blocks += [f"**{_plain(section.title)}** ({_plain(section.subtitle)})", "\n".join(lines)]
        blocks += ["\n".join(f"- {_plain(note)}" for note in section.notes)] if section.notes else []
    return "\n\n".join([*blocks, _plain(caption(rows, baseline))]) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """Text that Markdown shows as it is."""
    for character in "\\`*_|[]":
        text = text.replace(character, "\\" + character)
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
