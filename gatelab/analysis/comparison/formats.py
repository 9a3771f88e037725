"""The rows of a comparison as text: for the terminal (`terminal.py`), for a page, for other programs."""

import csv
import dataclasses
import io
import itertools
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gatelab.analysis.comparison.overall import Overall, overall
from gatelab.analysis.comparison.sparklines import WIDTH, sparklines
from gatelab.analysis.comparison.table import Row
from gatelab.analysis.reading.groups import OptionValues
from gatelab.analysis.reading.saturation import ABOVE, BELOW, limits_in_words
from gatelab.analysis.reading.series import Curve
from gatelab.analysis.statistics.intervals import Interval
from gatelab.errors import UserError, unknown
from gatelab.process.output import visible

NOTHING = "–"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Section:
    """What is shown of the rows of one task.

    Attributes:
        title: the task; `subtitle`: its metric and levels.
        columns: the headings; `text_columns` of them, from the left, hold words, the others numbers.
        cells: (rows, columns).
        best: (rows,), whether to emphasise the row.
        verdicts: (rows,), better or worse than the baseline, as in `Row.better`.
        options: (rows,), what sets each row apart, by its short name; joined to one text under the heading "options".
        notes: one sentence each.
    """

    title: str
    subtitle: str
    columns: list[str]
    text_columns: int
    cells: list[list[str]]
    best: list[bool]
    verdicts: list[bool | None]
    options: list[OptionValues]
    notes: list[str]


def sections(rows: Iterable[Row], curves: Iterable[Curve] | None = None) -> list[Section]:
    """The rows as they are shown, problem by problem. Columns in which nothing stands are left out.

    Args:
        rows: of a comparison.
        curves: of the validation score, one for each row; without them there is no column of sparklines.
    """
    made = []
    there = iter(curves or ())
    for (task, task_options, _), group in itertools.groupby(rows, key=lambda row: row.problem):
        members = list(group)
        short = short_options(row.options for row in members)
        columns = _columns(members, short)
        lines = dict(zip(map(id, members), sparklines(list(itertools.islice(there, len(members)))), strict=False))
        if any(lines.values()):
            columns[f"val {members[0].metric}"] = lambda row, lines=lines: lines[id(row)].ljust(WIDTH)
        made.append(
            Section(
                title=name(task, task_options),
                subtitle=_subtitle(members),
                columns=list(columns),
                text_columns=1 + ("options" in columns),
                cells=[[show(row) for show in columns.values()] for row in members],
                best=[row.best for row in members],
                verdicts=[row.better for row in members],
                options=[short[row.options] for row in members],
                notes=[f"{name(row.cell, short[row.options])}: {row.note}." for row in members if row.note],
            )
        )
    return made


def overall_section(rows: Iterable[Row]) -> Section | None:
    """All tasks together, the best first; None where there is nothing to put together."""
    found = overall(rows)
    if not found:
        return None
    short = short_options(item.options for item in found)
    columns: dict[str, Callable[[Overall], str]] = {"cell": lambda item: item.cell}
    if any(item.options for item in found):
        columns["options"] = lambda item: str(short[item.options]) or NOTHING
    columns["n"] = lambda item: str(item.n)
    columns["IQM"] = lambda item: _bounds(item.iqm)
    columns["mean"] = lambda item: _bounds(item.mean)
    return Section(
        title=f"all {found[0].tasks} tasks",
        subtitle="score with 0 at chance and 1 where solved; 95% bootstrap intervals, seeds drawn within tasks",
        columns=list(columns),
        text_columns=1 + ("options" in columns),
        cells=[[show(item) for show in columns.values()] for item in found],
        best=[item.iqm.value == found[0].iqm.value for item in found],
        verdicts=[None] * len(found),
        options=[short[item.options] for item in found],
        notes=[],
    )


def name(entry: str, options: OptionValues) -> str:
    """What a row is called outside of its table, or a task: the cell or task, and what sets it apart."""
    return f"{entry}, {options}" if options else entry


def short_options(options: Iterable[OptionValues]) -> dict[OptionValues, OptionValues]:
    """Options without their group, "hidden_size=128", unless two groups have an option of that name."""
    options = set(options)
    keys = {key for values in options for key in values}
    short = {key: key.rpartition(".")[2] for key in keys}
    if len(set(short.values())) < len(short):
        return {values: values for values in options}
    return {values: OptionValues({short[key]: value for key, value in values.items()}) for values in options}


def _columns(rows: list[Row], short: Mapping[OptionValues, OptionValues]) -> dict[str, Callable[[Row], str]]:
    """The headings and what stands under them."""
    columns: dict[str, Callable[[Row], str]] = {"cell": lambda row: row.cell}
    if any(row.options for row in rows):
        columns["options"] = lambda row: str(short[row.options]) or NOTHING
    columns["n"] = lambda row: str(row.n)
    columns[f"test {rows[0].metric}".strip()] = lambda row: estimate(row.mean, row.low, row.high)
    if any(row.n >= 4 for row in rows):  # the interquartile mean of fewer is their mean
        columns["IQM"] = lambda row: NOTHING if row.iqm is None else number(row.iqm)
    if any(row.difference is not None or row.note for row in rows):
        columns["difference"] = _difference
        columns["p"] = lambda row: NOTHING if row.p_adjusted is None else probability(row.p_adjusted)
        columns["P(better)"] = _improvement
    if any(row.solved_share is not None for row in rows):
        columns["solved"] = lambda row: share(row.solved_share)
    columns["params"] = lambda row: NOTHING if row.parameters is None else f"{row.parameters:,}"
    if any(row.flops_per_step is not None for row in rows):
        columns["FLOPs"] = lambda row: NOTHING if row.flops_per_step is None else engineering(row.flops_per_step)
    columns["s/step"] = lambda row: NOTHING if row.seconds_per_step is None else f"{row.seconds_per_step:.2g}"
    if any(row.wall_seconds is not None for row in rows):
        columns["seconds"] = lambda row: NOTHING if row.wall_seconds is None else f"{row.wall_seconds:.3g}"
    if any(row.saturated is not None for row in rows):
        columns["saturated"] = lambda row: share(row.saturated)
    if any(row.failed or row.running or row.preempted or row.diverged for row in rows):
        columns["unfinished"] = _unfinished
    return columns


# What each statistic is and where it comes from, one line each: under the table and in `gatelab compare --help`.
EXPLANATIONS = {
    "test score": "mean over n seeds ± half the width of its 95% interval (Student 1908); none for a single seed",
    "IQM": "interquartile mean: the best and the worst 25% of the seeds left out, diverged ones as the worst (Agarwal et al. 2021)",
    "all tasks": "IQM and mean of (score - chance) / (solved - chance), stratified bootstrap (Agarwal et al. 2021)",
    "difference": "to the baseline, ± half its 95% interval, not adjusted: paired t where both have the same seeds (Student 1908), "
    "else Welch's (1947); Mann-Whitney's exact rank test (1947), without an interval, where a seed diverged",
    "p": "two-sided, adjusted over the variants of a task (Holm 1979); better or worse where p < 0.05",
    "P(better)": "probability that a run beats one of the baseline, with 95% interval (Mann & Whitney 1947; Newcombe 2006)",
    "effect": "difference in pooled standard deviations, without bias (Hedges 1981); csv and json",
    "detectable": "smallest difference that so many seeds show with a probability of 80% (noncentral t, Cohen 1988); csv and json",
    "power, seeds_needed": "chance to show the difference as observed, and seeds for 80% (Cohen 1988); csv and json",
    "FLOPs": "of one time step of one sequence, forward, counted from the equations",
    "s/step, seconds": "wall clock of an optimiser step and of a whole run",
    "saturated": "share of gate activations below trainer.saturated_below or above trainer.saturated_above "
    f"({BELOW:g} and {ABOVE:g} if not given; Karpathy et al. 2015)",
    "sparkline": "validation score over training, mean over seeds; same axes for all rows of a task, log over a factor of ten",
}


def caption(rows: Iterable[Row], baseline: str | None = None) -> str:
    """How many runs there are, and what the numbers are."""
    rows = list(rows)
    diverged = sum(row.diverged for row in rows)
    # A run that finished with a score that is not finite counts as diverged, too.
    counts = {"finished": sum(row.n for row in rows) - diverged, "diverged": diverged}
    counts |= {state: sum(getattr(row, state) for row in rows) for state in ("failed", "running", "preempted")}
    total = sum(counts.values())
    shown = [f"{count} {state}" for state, count in counts.items() if count or state not in ("diverged", "preempted")]
    said = [f"{total} {'run' if total == 1 else 'runs'}: {', '.join(shown)}."]
    said.append("Test score: mean over n seeds ± half the width of its 95% Student-t interval (none for a single seed).")
    if baseline is not None:
        said.append(
            f"Difference: to {baseline}, ± half its 95% interval, not adjusted; p: paired t where the seeds are the same, else "
            "Welch's, adjusted over the variants after Holm; better or worse where p < 0.05. "
            f"P(better): probability that a run beats one of {baseline}, with 95% interval."
        )
    if any(row.flops_per_step is not None for row in rows):
        said.append("FLOPs: of a time step of a sequence, forward.")
    limits = [(row.saturated_below, row.saturated_above) for row in rows if row.saturated is not None]
    if limits:
        below, above = limits_in_words(limits)
        said.append(f"Saturated: share of gate activations below {below} or above {above}.")
    return " ".join(said)


def render(
    rows: Iterable[Row],
    format: str,  # noqa: A002 - the word of the command line
    baseline: str | None = None,
    curves: Sequence[Curve] | None = None,
) -> str:
    """The rows as a text that ends with a line break.

    Args:
        rows: of a comparison.
        format: csv or json (every field of `Row`, full precision), or markdown (what `print_table` shows).
        baseline: named in the caption of markdown; `curves`: its sparklines, one for each row.

    Raises:
        UserError: there is no such format.
    """
    if format == "csv":
        return _csv(rows)
    if format == "json":
        rows = list(rows)
        tables = {"rows": rows, "overall": overall(rows)}
        plain = {key: [_finite(dataclasses.asdict(item)) for item in items] for key, items in tables.items()}
        return json.dumps(plain, indent=1, allow_nan=False) + "\n"
    if format == "markdown":
        return _markdown(list(rows), baseline, curves)
    raise UserError(unknown("format", format, ("csv", "json", "markdown")))


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


def _bounds(interval: Interval) -> str:
    value, low, high = interval
    return number(value) if low is None or high is None else f"{number(value)} ({number(low)} to {number(high)})"


def _improvement(row: Row) -> str:
    if row.improvement is None:
        return NOTHING
    if row.improvement_low is None or row.improvement_high is None:
        return share(row.improvement)
    return f"{share(row.improvement)} ({100 * row.improvement_low:.0f}–{100 * row.improvement_high:.0f})"


def engineering(value: float) -> str:
    """Three digits and a power of a thousand: "34.6k"."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def number(value: float, sign: bool = False) -> str:
    """Three digits, for a sentence."""
    return f"{value:{'+' if sign else ''}.3g}"


def probability(p: float) -> str:
    """A p-value to two digits, "0.031", with 0.001 the least that is told apart."""
    return "<0.001" if p < 0.001 else f"{p:.2g}"


def share(value: float | None) -> str:
    """A share as a percentage."""
    return NOTHING if value is None else f"{value:.0%}"


def _unfinished(row: Row) -> str:
    counts = [f"{getattr(row, state)} {state}" for state in ("diverged", "failed", "running", "preempted") if getattr(row, state)]
    return ", ".join(counts) or NOTHING


def _subtitle(rows: list[Row]) -> str:
    """Metric, direction and levels, which are the same for all runs of one task."""
    known = next((row for row in rows if row.n), None)
    if known is None:
        return "no finished run"
    said = [f"{known.metric}, {'higher' if known.higher_is_better else 'lower'} is better"]
    said += [f"{name} {value:.4g}" for name, value in (("chance", known.chance), ("solved at", known.solved)) if value is not None]
    return "; ".join(said)


def _finite(value: Any) -> Any:
    """JSON has neither nan nor infinity."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_finite(item) for item in value]
    if isinstance(value, np.ndarray):
        return _finite(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _csv(rows: Iterable[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in dataclasses.fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _csv_cell(value) for key, value in dataclasses.asdict(row).items()} for row in rows)
    return text.getvalue()


def _csv_cell(value: Any) -> Any:
    """A field of a row; several values (which are numbers) are joined by blanks.

    A spreadsheet runs text that begins like a formula, so such text gets an apostrophe in front. A number stays a number.
    """
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    value = str(value) if isinstance(value, OptionValues) else value
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def _markdown(rows: list[Row], baseline: str | None, curves: Sequence[Curve] | None) -> str:
    blocks = []
    together = overall_section(rows)
    for section in [*sections(rows, curves), *([together] if together else [])]:
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
    text = visible(text)
    for character in "\\`*_|[]":
        text = text.replace(character, "\\" + character)
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
