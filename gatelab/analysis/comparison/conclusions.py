"""What the runs show, in words: what differs from the baseline, by how much, and what could not have been seen."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gatelab.analysis.comparison.numbers import estimate, number, probability, share, symmetric
from gatelab.analysis.comparison.row import Row
from gatelab.analysis.comparison.solving import TIME_WORDS
from gatelab.analysis.reading.option_values import label, short_options
from gatelab.analysis.statistics.differences import RANKS, Difference
from gatelab.analysis.statistics.intervals import LEVEL, Interval, small_n
from gatelab.analysis.statistics.permutation import least_p

_NAMED = 8  # names in one sentence
_ALPHA = 1 - LEVEL
_UNPAIRED = "pairs need the same seeds, each once, on both sides"
Judgement = Literal["better", "worse", "undecided", "untested"]


@dataclass(frozen=True)
class Conclusion:
    """One variant against the baseline.

    Attributes:
        row: the variant with all its numbers; `name`: what it is called.
        judgement: better or worse if p_adjusted < 0.05, else undecided; untested when there was nothing to test.
        sentence: says so, with size, interval, p and number of seeds; plain text.
    """

    row: Row
    name: str
    judgement: Judgement
    sentence: str


@dataclass(frozen=True)
class Conclusions:
    """What the runs of one problem show.

    Attributes:
        title: the task with its options.
        compared: one for each variant but those of the baseline, in the order of the rows.
        sentences: the same in a paragraph that takes variants together where it can, with what the reader must be warned of.
        brief: the judgements alone, in one sentence, with warnings of runs that diverged or failed; the numbers stand in the table.
    """

    title: str
    compared: list[Conclusion]
    sentences: list[str]
    brief: list[str]


def conclusions(rows: Iterable[Row], baseline: str | None = None) -> list[Conclusions]:
    """Says what rows show, problem by problem.

    Args:
        rows: of `compare`, with the same baseline.
        baseline: the cell that the others were compared with; None: nothing was tested, and a sentence says so.
    """
    made = []
    for (task, task_options, _), group in itertools.groupby(rows, key=lambda row: row.problem):
        members = list(group)
        short = short_options(row.options for row in members)
        names = [f"{row.cell} ({short[row.options]})" if row.options else row.cell for row in members]
        pairs = zip(members, names, strict=True)
        compared = [_conclusion(row, name, baseline) for row, name in pairs if baseline not in (None, row.cell)]
        made.append(
            Conclusions(
                title=label(task, task_options),
                compared=compared,
                sentences=[*_in_words(compared, baseline, members, names), *_warnings(members, names), *_few(members)],
                brief=[*_in_brief(compared, baseline, members, names), *_warnings(members, names)],
            )
        )
    return made


def _conclusion(row: Row, name: str, baseline: str | None) -> Conclusion:
    difference = row.difference
    if difference is None or not difference.test:
        return Conclusion(row, name, "untested", f"{name} was not compared with {baseline}: {_why_not(row)}.")
    if difference.better is None:
        size = _size(difference)
        evidence = _evidence(difference, f"{difference.measure} {size}" if size else "")
        return Conclusion(row, name, "undecided", f"{name} does not differ significantly from {baseline} ({evidence}).")
    judgement: Judgement = "better" if difference.better else "worse"
    said = f"{name} is {judgement} than {baseline}{_by(row, difference)}"
    return Conclusion(row, name, judgement, f"{said} ({_evidence(difference, _interval(difference))}).")


def _why_not(row: Row) -> str:
    if not row.n:
        return "no finished run"
    if row.difference is None and row.note:
        return row.note
    few = row.difference is None or min(row.n, row.difference.baseline_n) < 2
    return "a test needs two seeds of each side" if few else _UNPAIRED


def _size(difference: Difference) -> str:
    """The size of a difference with its adjusted interval; empty without one."""
    value, low, high = difference.simultaneous
    if low is None or high is None:
        return ""
    if symmetric(difference):
        return f"{estimate(difference.simultaneous, sign=True)}, 95% interval"
    sign = difference.measure == "difference"
    return f"{number(value, sign)}, 95% interval {number(low, sign)} to {number(high, sign)}"


def _by(row: Row, difference: Difference) -> str:
    """By how much it is better or worse."""
    value = difference.size.value
    if difference.on_time and row.solving is not None:
        said = f": {row.solving.count} of {row.solving.n} runs solve the task"
        times = f" in {number(value)} times the {TIME_WORDS[row.solving.read.unit]}"
        return said + (times if value not in (0, math.inf) else "")
    if difference.test == RANKS:
        return ""
    if difference.measure == "difference":
        return f" by {estimate(_forwards(difference))}"
    of = row.metric if difference.measure == "ratio" else "odds"
    return f": {number(value)} times the {of}"


def _interval(difference: Difference) -> str:
    """The adjusted interval of a difference whose direction has been said."""
    _, low, high = _forwards(difference)
    if low is None or high is None or difference.test == RANKS:
        return ""
    return "95% interval" if symmetric(difference) else f"95% interval {number(low)} to {number(high)}"


def _forwards(difference: Difference) -> Interval:
    """The adjusted difference as a size: of a fall with its sign turned."""
    value, low, high = difference.simultaneous
    if difference.measure != "difference" or value > 0:
        return difference.simultaneous
    return Interval(-value, None if high is None else -high, None if low is None else -low)


def _evidence(difference: Difference, interval: str) -> str:
    """The numbers behind a statement, for brackets."""
    said = [interval] if interval else []
    if difference.test == RANKS:
        said.append(f"it beats the baseline in {share(difference.improvement.value)} of the pairs of runs")
    if difference.p_adjusted is not None:
        p = probability(difference.p_adjusted)
        said.append(f"{difference.test}, adjusted p {p if p.startswith('<') else f'= {p}'}")
    return "; ".join([*said, f"n = {difference.n}"])


def _in_words(compared: Sequence[Conclusion], baseline: str | None, rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    if baseline is None:
        best = [name for row, name in zip(rows, names, strict=True) if row.best]
        what = "time to solve" if rows[0].on_time else "median" if rows[0].mean is None else "mean"
        said = [f"The best {what} is that of {listed(best)}."] if best else []
        return [*said, "No baseline was named, so that nothing was tested."] if len(rows) > 1 else said
    if not any(row.cell == baseline and row.n for row in rows):
        return [f"There is no finished run of {baseline}, so that nothing was tested."]
    said = [one.sentence for one in compared if one.judgement in ("better", "worse")]
    undecided = [one for one in compared if one.judgement == "undecided"]
    if undecided:
        said += _not_significant(undecided, baseline)
    reasons: dict[str, list[str]] = {}
    for one in compared:
        if one.judgement == "untested":
            reasons.setdefault(_why_not(one.row), []).append(one.name)
    return said + [f"Not compared with {baseline}: {listed(variants)} ({reason})." for reason, variants in reasons.items()]


def _not_significant(undecided: Sequence[Conclusion], baseline: str) -> list[str]:
    """What does not differ, and what so few seeds cannot show to differ."""
    hopeless = [one for one in undecided if _hopeless(one)]
    open_ = [one for one in undecided if one not in hopeless]
    said = []
    if open_:
        verb = "does" if len(open_) == 1 else "do"
        said.append(f"{_who(open_)} {verb} not differ significantly from {baseline}.")
    if hopeless:
        found = [one.row.difference for one in hopeless if one.row.difference is not None]
        fewest, best = min(min(item.n, item.baseline_n) for item in found), min(item.least_adjusted for item in found)
        enough = next(n for n in range(2, 100) if len(hopeless) * least_p(n, n) < _ALPHA)
        tests = listed(sorted({item.test for item in found}))
        # The least p also depends on how many runs solve the task, and on the comparisons of other tasks.
        what = f"at least {enough} seeds of each" if enough > fewest else "more seeds, or more runs that solve the task,"
        said.append(
            f"Nothing can be concluded about {_who(hopeless)}: with {fewest} seeds the exact {tests} test has an adjusted p of "
            f"{probability(best)} at best; {what} are needed to reach 0.05."
        )
    return said


def _in_brief(compared: Sequence[Conclusion], baseline: str | None, rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """The judgements in one sentence, as "a better than lstm; b worse; c not significant; d: too few runs"."""
    if not compared or all(one.judgement == "untested" for one in compared):
        return _in_words(compared, baseline, rows, names)
    groups: dict[str, list[str]] = {"better": [], "worse": [], "not significant": [], "too few runs": [], "not compared": []}
    for one in compared:
        kind: str = "not compared" if one.judgement == "untested" else one.judgement
        if one.judgement == "undecided":
            kind = "too few runs" if _hopeless(one) else "not significant"
        groups[kind].append(one.name)
    parts = []
    for kind, members in groups.items():
        if members:
            who = ", ".join(members) if len(members) <= _NAMED else f"{len(members)} variants"
            colon = "" if kind in ("better", "worse", "not significant") else ":"
            parts.append(f"{who}{colon} {kind}" + (f" than {baseline}" if not parts and kind in ("better", "worse") else ""))
    compared_to = "" if f"than {baseline}" in parts[0] else f" (against {baseline})"
    return [f"{'; '.join(parts)}{compared_to}."]


def _hopeless(one: Conclusion) -> bool:
    """Whether so few runs could not have shown a difference, whatever they did."""
    return one.row.difference is not None and one.row.difference.least_adjusted >= _ALPHA


def _who(compared: Sequence[Conclusion]) -> str:
    names = [one.name for one in compared]
    return listed(names) if len(names) <= _NAMED else f"{len(names)} of the variants, {listed(names[:3])} among them,"


def _warnings(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Diverged and failed runs."""
    said = []
    for row, name in zip(rows, names, strict=True):
        if row.diverged:
            runs = "run" if row.n == 1 else "runs"
            said.append(f"{row.diverged} of {row.n} {runs} of {name} diverged and {'is' if row.n == 1 else 'are'} ranked last.")
    lacking = [f"{row.failed} of {name}" for row, name in zip(rows, names, strict=True) if row.failed]
    if lacking:
        said.append(f"Failed runs are not counted: {listed(lacking)}.")
    return said


def _few(rows: Sequence[Row]) -> list[str]:
    """How few seeds there are."""
    few = [row.n for row in rows if row.n == 1 or (row.n and row.mean is not None)]
    return [words] if few and (words := small_n(few)) else []


def listed(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "nothing"
