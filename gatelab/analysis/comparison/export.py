"""A comparison as text for other programs (CSV, JSON) and for a page (Markdown)."""

import csv
import dataclasses
import io
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

from gatelab.analysis.comparison.overall import overall
from gatelab.analysis.comparison.row import Row
from gatelab.analysis.comparison.sections import caption, overall_section, sections
from gatelab.analysis.comparison.solving import Solving
from gatelab.analysis.reading.option_values import OptionValues
from gatelab.analysis.reading.series import Curve
from gatelab.analysis.reading.variants import Variant
from gatelab.analysis.statistics.differences import Difference
from gatelab.analysis.statistics.intervals import Interval
from gatelab.errors import UserError, unknown
from gatelab.process.output import visible, without_nan

_FORMULA = ("=", "+", "-", "@", "\t", "\r")

# Its fields head a CSV, even one without rows.
_NO_ROW = Row(Variant("", "", {}, OptionValues(), OptionValues(), []), "", False, n=0)


def plain_row(row: Row) -> dict[str, Any]:
    """The fields of a row as other programs know them, in order; an interval is three of them."""
    of_variant = ("task", "task_options", "cell", "options")
    of_runs = ("metric", "higher_is_better", "scale", "shape", "n", "diverged", "scores", "seeds")
    levels = ("best", "chance", "solved")
    costs = ("parameters", "flops_per_step", "seconds_per_step", "wall_seconds")
    states = ("saturated", "saturated_below", "saturated_above", "failed", "running", "preempted")
    return {
        **{name: getattr(row, name) for name in (*of_variant, *of_runs)},
        **_ends(row.mean, "mean", "low", "high"),
        "odd": row.odd,
        **_ends(row.median, "median", "median_low", "median_high"),
        **{name: getattr(row, name) for name in levels},
        **_time_to_solve(row.solving),
        **{name: getattr(row, name) for name in (*costs, *states)},
        **_difference(row.difference),
        "note": row.note,
    }


def _difference(found: Difference | None) -> dict[str, Any]:
    """What compares a row with the baseline; `adjusted_low` and `adjusted_high` hold together with those of all other rows."""
    return {
        "compared": "" if found is None else "times" if found.on_time else "scores",
        "measure": found.measure if found else "",
        **_ends(found and found.size, "difference", "difference_low", "difference_high"),
        "adjusted_low": found and found.simultaneous.low,
        "adjusted_high": found and found.simultaneous.high,
        **_ends(found and found.share, "share_difference", "share_difference_low", "share_difference_high"),
        "test": found.test if found else "",
        **{name: found and getattr(found, name) for name in ("statistic", "p", "p_adjusted", "least_adjusted", "better")},
        **_ends(found and _known(found.improvement), "improvement", "improvement_low", "improvement_high"),
        **_ends(found and _known(found.effect), "effect", "effect_low", "effect_high"),
        "correlation": found and found.correlation,
    }


def _time_to_solve(solving: Solving | None) -> dict[str, Any]:
    """Who solves the task, and when; `times` of unsolved runs are the ends of their budgets."""
    read = solving and solving.read
    return {
        **_ends(solving and solving.share, "solved_share", "solved_low", "solved_high"),
        "time_unit": read.unit if read else "",
        "times": read.times if read else (),
        "times_solved": read.solved if read else (),
        "time_until": solving and solving.until,
        **_ends(solving and solving.mean, "time_mean", "time_mean_low", "time_mean_high"),
        **_ends(solving and solving.median, "time_median", "time_median_low", "time_median_high"),
    }


def _ends(interval: Interval | None, value: str, low: str, high: str) -> dict[str, float | None]:
    return dict(zip((value, low, high), interval or (None, None, None), strict=True))


def _known(interval: Interval) -> Interval | None:
    """None where the estimate is not defined: an effect where nothing varies."""
    return None if math.isnan(interval.value) else interval


def render(
    rows: Iterable[Row],
    format: str,  # noqa: A002 - the word of the command line
    baseline: str | None = None,
    curves: Sequence[Curve] | None = None,
) -> str:
    """The rows as a text that ends with a line break.

    Args:
        rows: of a comparison.
        format: csv or json (every field of `plain_row`, full precision), or markdown (what `print_table` shows).
        baseline: named in the caption of markdown; `curves`: its sparklines, one for each row.

    Raises:
        UserError: the format does not exist.
    """
    if format == "csv":
        return _csv(rows)
    if format == "json":
        rows = list(rows)
        plain = [without_nan(plain_row(row)) for row in rows]
        together = [without_nan(dataclasses.asdict(item)) for item in overall(rows, baseline)]
        return json.dumps({"rows": plain, "overall": together}, indent=1, allow_nan=False) + "\n"
    if format == "markdown":
        return _markdown(list(rows), baseline, curves)
    raise UserError(unknown("format", format, ("csv", "json", "markdown")))


def _csv(rows: Iterable[Row]) -> str:
    text = io.StringIO()
    plain = [{name: _csv_cell(value) for name, value in plain_row(row).items()} for row in rows]
    writer = csv.DictWriter(text, list(plain_row(_NO_ROW)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(plain)
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
    together = overall_section(rows, baseline)
    for section in [*sections(rows, curves), *([together] if together else [])]:
        ruler = ["---" if number < section.text_columns else "---:" for number in range(len(section.columns))]
        lines = [_line(map(_escaped, section.columns)), _line(ruler)]
        for cells, best in zip(section.cells, section.best, strict=True):
            lines.append(_line((f"**{_escaped(cells[0])}**" if best else _escaped(cells[0]), *map(_escaped, cells[1:]))))
        blocks += [f"**{_escaped(section.title)}** ({_escaped(section.subtitle)})", "\n".join(lines)]
        blocks += ["\n".join(f"- {_escaped(note)}" for note in section.notes)] if section.notes else []
    return "\n\n".join([*blocks, _escaped(caption(rows, baseline))]) + "\n"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is."""
    text = visible(text)
    for character in "\\`*_|[]":
        text = text.replace(character, "\\" + character)
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())
