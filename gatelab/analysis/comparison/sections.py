"""The rows of a comparison as tables of texts, as a terminal (`terminal.py`), a page and Markdown show them."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from gatelab.analysis.comparison.conclusions import listed
from gatelab.analysis.comparison.fairness import fairness_notes
from gatelab.analysis.comparison.numbers import NOTHING, bounds, engineering, estimate, number, probability, ratio, share, symmetric
from gatelab.analysis.comparison.overall import Overall, overall
from gatelab.analysis.comparison.row import Row
from gatelab.analysis.comparison.solving import TIME_WORDS
from gatelab.analysis.comparison.sparklines import WIDTH, sparklines
from gatelab.analysis.reading.option_values import OptionValues, label, short_options
from gatelab.analysis.reading.saturation import limits_in_words
from gatelab.analysis.reading.series import Curve
from gatelab.analysis.reading.solving import TimeUnit
from gatelab.analysis.statistics.differences import TIME_RATIO
from gatelab.analysis.statistics.intervals import Interval


@dataclass(frozen=True)
class Section:
    """What is shown of the rows of one task.

    Attributes:
        title: the task; `subtitle`: its metric and levels.
        columns: the headings; `text_columns` of them, from the left, hold words, the others numbers.
        cells: (rows, columns).
        best: (rows,), whether to emphasise the row.
        better: (rows,), better (True) or worse (False) than the baseline, as in `Row.better`; said in the column `judged`, if any.
        options: (rows,), what sets each row apart, by its short name; joined to one text under the heading "options".
        notes: one sentence each.
    """

    title: str
    subtitle: str
    columns: list[str]
    text_columns: int
    cells: list[list[str]]
    best: list[bool]
    better: list[bool | None]
    options: list[OptionValues]
    notes: list[str]
    judged: str = ""


def sections(rows: Iterable[Row], curves: Iterable[Curve] | None = None) -> list[Section]:
    """The rows as they are shown, problem by problem. Columns in which nothing stands are left out.

    Args:
        rows: of a comparison.
        curves: of the validation score, one for each row; without them there is no column of sparklines.
    """
    pairs = zip(rows, itertools.repeat(None)) if curves is None else zip(rows, curves, strict=True)
    return [_section(list(members)) for _, members in itertools.groupby(pairs, key=lambda pair: pair[0].problem)]


def _section(pairs: list[tuple[Row, Curve | None]]) -> Section:
    """The rows of one problem, each with its curve."""
    rows = [row for row, _ in pairs]
    short = short_options(row.options for row in rows)
    columns = {heading: [show(row) for row in rows] for heading, show in _columns(rows, short).items()}
    lines = sparklines([curve for _, curve in pairs if curve is not None])
    if any(lines):
        columns[f"val {rows[0].metric}"] = [line.ljust(WIDTH) for line in lines]
    return Section(
        title=label(rows[0].task, rows[0].task_options),
        subtitle=_subtitle(rows),
        columns=list(columns),
        text_columns=1 + ("options" in columns),
        cells=[list(texts) for texts in zip(*columns.values(), strict=True)],
        best=[row.best for row in rows],
        better=[row.better for row in rows],
        options=[short[row.options] for row in rows],
        notes=[
            *_constant(rows),
            *_why_no_mean(rows, short),
            *(f"{label(row.cell, short[row.options])}: {row.note}." for row in rows if row.note),
            *fairness_notes(rows),
        ],
        judged=_judged(rows),
    )


def overall_section(rows: Iterable[Row], baseline: str | None = None) -> Section | None:
    """All tasks together, the best first; None where there is nothing to put together."""
    found = overall(rows, baseline)
    if not found:
        return None
    short = short_options(item.options for item in found)
    columns: dict[str, Callable[[Overall], str]] = {"cell": lambda item: item.cell}
    if any(item.options for item in found):
        columns["options"] = lambda item: str(short[item.options]) or NOTHING
    columns["n"] = lambda item: str(item.n)
    columns["IQM"] = lambda item: number(item.iqm)
    columns["mean"] = lambda item: number(item.mean)
    columns["rank"] = lambda item: number(item.rank)
    if any(item.chances for item in found):
        columns["better/alike/worse"] = lambda item: "/".join(share(chance) for chance in item.chances) if item.chances else NOTHING
    critical = found[0].critical
    return Section(
        title=f"{found[0].tasks} tasks together",
        subtitle="score with 0 at chance and 1 where solved",
        columns=list(columns),
        text_columns=1 + ("options" in columns),
        cells=[[show(item) for show in columns.values()] for item in found],
        best=[item.iqm == found[0].iqm for item in found],
        better=[None] * len(found),
        options=[short[item.options] for item in found],
        notes=[f"Ranks that are more than {number(critical)} apart differ (Nemenyi, 95%)."] if critical is not None else [],
    )


def _columns(rows: list[Row], short: Mapping[OptionValues, OptionValues]) -> dict[str, Callable[[Row], str]]:
    """The headings and what stands under them."""
    columns: dict[str, Callable[[Row], str]] = {"cell": lambda row: row.cell}
    if any(row.options for row in rows):
        columns["options"] = lambda row: str(short[row.options]) or NOTHING
    columns["n"] = lambda row: str(row.n)
    own, of_time = _score(rows), _time_columns(rows)
    leading, following = (of_time, own) if rows[0].on_time else (own, of_time)
    columns |= leading
    if any(row.difference is not None or row.note for row in rows):
        columns[_judged(rows)] = _difference
        columns["p"] = _p
        columns["P(better)"] = _improvement
    if any(row.difference is not None and row.difference.correlation is not None for row in rows):
        columns["r"] = _correlation
    columns |= following
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


def _score(rows: list[Row]) -> dict[str, Callable[[Row], str]]:
    """The column of the score: means where they describe the runs, else medians, or both with a word beside the latter."""
    metric = rows[0].metric
    if all(row.mean is None for row in rows):
        return {f"median {metric}".strip(): lambda row: _amounts(row.median)}
    linear = rows[0].scale == "linear"

    def shown(row: Row) -> str:
        if row.mean is None and row.median is not None:
            return f"median {_amounts(row.median)}"
        return estimate(row.mean) if linear else _amounts(row.mean)

    return {f"test {metric}".strip(): shown}


def _time_columns(rows: list[Row]) -> dict[str, Callable[[Row], str]]:
    columns: dict[str, Callable[[Row], str]] = {}
    if any(row.solving is not None for row in rows):
        columns["solved"] = _solved
    if (unit := _unit(rows)) is not None:
        columns[f"{TIME_WORDS[unit]} to solve"] = _time_to_solve
    return columns


def _judged(rows: list[Row]) -> str:
    """The heading of the column that says what differs from the baseline, and how."""
    return next((row.difference.measure for row in rows if row.difference is not None), "difference")


def _why_no_mean(rows: list[Row], short: Mapping[OptionValues, OptionValues]) -> list[str]:
    """Why medians are shown, in a line; and what makes up the ranks of a problem that is declared otherwise."""
    if not any(row.n for row in rows):
        return []
    if rows[0].shape == "any":
        return ["No mean: runs of this task may solve it or stay at chance, and no run lies near their mean."]
    reasons: dict[str, list[str]] = {}
    for row in rows:
        if row.odd:
            reasons.setdefault(row.odd, []).append(label(row.cell, short[row.options]))
    counted = sum(row.n > 0 for row in rows)
    # What holds for all variants needs no names.
    return [
        f"Medians and ranks in place of {'means' if len(names) == counted else f'the mean of {listed(names)}'}: {reason}."
        for reason, names in reasons.items()
    ]


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
    if any(row.mean is not None for row in rows):
        said.append("Test score: mean over n seeds on the scale of the task, with its 95% Student-t interval.")
    if any(row.mean is None and row.median is not None for row in rows):
        said.append("Median: with a 95% interval from 5 seeds on.")
    if baseline is not None:
        said.append(_against(rows, baseline))
    if any(row.solving is not None for row in rows):
        said.append("Solved: runs whose validation score reaches the level, with the exact 95% interval of their share.")
    unit = _unit(rows)
    if unit is not None:
        words = TIME_WORDS[unit]
        said.append(
            f"{words[0].upper()}{words[1:]} to solve: mean with its 95% interval; a run that does not solve the task counts with "
            "the shortest budget of the task."
        )
    if any(row.flops_per_step is not None for row in rows):
        said.append("FLOPs: of a time step of a sequence, forward.")
    limits = [(row.saturated_below, row.saturated_above) for row in rows if row.saturated is not None]
    if limits:
        below, above = limits_in_words(limits)
        said.append(f"Saturated: share of gate activations below {below} or above {above}.")
    return " ".join(said)


def _against(rows: list[Row], baseline: str) -> str:
    """What is compared with the baseline, and how."""
    found = [row.difference for row in rows if row.difference is not None]
    tests = ", ".join(sorted({item.test for item in found if item.test}))
    tasks = len({row.problem for row in rows if row.difference is not None})
    over = f"all variants of the {tasks} tasks, one family" if tasks > 1 else "all variants"
    measures = sorted({item.measure for item in found} or {"difference"})
    said = [
        f"{' and '.join(measures).capitalize()}: to {baseline}, with the 95% interval of what the test does not reject, adjusted "
        f"over {over}; p: {f'{tests}, ' if tests else ''}adjusted likewise; better or worse where p < 0.05."
    ]
    if TIME_RATIO in measures:
        said.append(f"A time ratio of 0.5: the runs that solve the task need half the {TIME_WORDS[_unit(rows) or 'steps']}.")
    if any(item.simultaneous[1:] == (0, math.inf) for item in found):
        said.append("From 0 to ∞: so few runs exclude no ratio.")
    return " ".join([*said, f"P(better): probability that a run beats one of {baseline}, with 95% interval."])


def _difference(row: Row) -> str:
    if row.difference is None:
        return NOTHING
    direction = {True: " better", False: " worse", None: ""}[row.better]
    item = row.difference
    if symmetric(item):
        return estimate(item.simultaneous, sign=True) + direction
    shown = bounds(item.simultaneous, sign=True) if item.measure == "difference" else ratio(item.simultaneous)
    return shown + direction


def _with_ends(value: str | None, low: str | None, high: str | None) -> str:
    return str(value) if low is None or high is None else f"{value} ({low} to {high})"


def _amounts(interval: Interval | None) -> str:
    """An estimate to three digits with its bounds."""
    if interval is None:
        return NOTHING
    return _with_ends(*(None if end is None else number(end) for end in interval))


def _correlation(row: Row) -> str:
    r = None if row.difference is None else row.difference.correlation
    return NOTHING if r is None else f"{r:.2f}"


def _p(row: Row) -> str:
    p = None if row.difference is None else row.difference.p_adjusted
    return NOTHING if p is None else probability(p)


def _improvement(row: Row) -> str:
    if row.difference is None:
        return NOTHING
    value, low, high = row.difference.improvement
    return share(value) if low is None or high is None else f"{share(value)} ({100 * low:.0f}–{100 * high:.0f})"


def _unit(rows: list[Row]) -> TimeUnit | None:
    """The unit of the times to solve; None where no run solves its task."""
    return next((row.solving.read.unit for row in rows if row.solving is not None and row.solving.count), None)


def _solved(row: Row) -> str:
    if row.solving is None:
        return NOTHING
    _, low, high = row.solving.share
    ends = "" if low is None or high is None else f" ({100 * low:.0f}–{100 * high:.0f}%)"
    return f"{row.solving.count}/{row.solving.n}{ends}"


def _time_to_solve(row: Row) -> str:
    if row.solving is None or not row.solving.count:
        return NOTHING
    value, low, high = (None if end is None else _amount(end, row.solving.read.unit) for end in row.solving.mean)
    return str(value) if low is None or high is None else f"{value} ({low}–{high})"


def _amount(value: float, unit: TimeUnit) -> str:
    if unit == "flops":
        return engineering(value)
    return f"{value:,.0f}" if value >= 100 else number(value)


def _unfinished(row: Row) -> str:
    counts = [f"{getattr(row, state)} {state}" for state in ("diverged", "failed", "running", "preempted") if getattr(row, state)]
    return ", ".join(counts) or NOTHING


def _subtitle(rows: list[Row]) -> str:
    """Metric, direction and levels, which are the same for all runs of one task."""
    known = next((row for row in rows if row.n), None)
    if known is None:
        return "no finished run"
    scale = "" if known.scale == "linear" else f" ({known.scale} scale)"
    said = [f"{known.metric}{scale}, {'higher' if known.higher_is_better else 'lower'} is better"]
    said += [f"{name} {value:.4g}" for name, value in (("chance", known.chance), ("solved at", known.solved)) if value is not None]
    return "; ".join(said)


def _constant(rows: list[Row]) -> list[str]:
    """What chance is on the very test set, where that differs."""
    known = next((row for row in rows if row.n), None)
    if known is None or known.chance is None or known.constant is None or f"{known.constant:.4g}" == f"{known.chance:.4g}":
        return []
    return [f"On this test set chance is {known.constant:.4g}."]
