"""What the runs show, in words: what differs from the baseline, by how much, and what could not have been seen."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gatelab.analysis.comparison.numbers import number, probability, share
from gatelab.analysis.comparison.table import Row
from gatelab.analysis.reading.option_values import label, short_options
from gatelab.analysis.statistics.differences import RANKS, Difference
from gatelab.analysis.statistics.intervals import small_n

_NAMED = 8  # names in one sentence
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
    """

    title: str
    compared: list[Conclusion]
    sentences: list[str]


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
                sentences=[*_in_words(compared, baseline, members, names), *_warnings(members, names)],
            )
        )
    return made


def _conclusion(row: Row, name: str, baseline: str | None) -> Conclusion:
    difference = row.difference
    if difference is None or not difference.test:
        return Conclusion(row, name, "untested", f"{name} was not compared with {baseline}: {_why_not(row)}.")
    if difference.better is None:
        evidence = _evidence(difference, _signed_interval(difference))
        return Conclusion(row, name, "undecided", f"{name} does not differ significantly from {baseline} ({evidence}).")
    judgement: Judgement = "better" if difference.better else "worse"
    size = "" if difference.test == RANKS else f" by {number(abs(difference.size.value))}"
    evidence = _evidence(difference, _interval(difference))
    return Conclusion(row, name, judgement, f"{name} is {judgement} than {baseline}{size} ({evidence}).")


def _why_not(row: Row) -> str:
    if not row.n:
        return "no finished run"
    return row.note if row.note and row.difference is None else "a test needs two seeds of each side"


def _signed_interval(difference: Difference) -> str:
    value, low, high = difference.size
    if low is None or high is None:
        return ""
    value, low, high = (number(end, sign=True) for end in (value, low, high))
    return f"difference {value}, 95% interval {low} to {high}"


def _interval(difference: Difference) -> str:
    """The interval of the size of a difference whose direction has been said."""
    value, low, high = difference.size
    if low is None or high is None:
        return ""
    direction = 1 if value > 0 else -1
    low, high = sorted((direction * low, direction * high))
    return f"95% interval {number(low)} to {number(high)}"


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
        said = [f"The best mean is that of {listed(best)}."] if best else []
        return [*said, "No baseline was named, so that nothing was tested."] if len(rows) > 1 else said
    if not any(row.cell == baseline and row.n for row in rows):
        return [f"There is no finished run of {baseline}, so that nothing was tested."]
    said = [one.sentence for one in compared if one.judgement in ("better", "worse")]
    undecided = [one for one in compared if one.judgement == "undecided"]
    if undecided:
        said.append(_not_significant(undecided, baseline))
    reasons: dict[str, list[str]] = {}
    for one in compared:
        if one.judgement == "untested":
            reasons.setdefault(_why_not(one.row), []).append(one.name)
    return said + [f"Not compared with {baseline}: {listed(variants)} ({reason})." for reason, variants in reasons.items()]


def _not_significant(undecided: Sequence[Conclusion], baseline: str) -> str:
    """What does not differ, and how large a difference would have had to be."""
    verb = "does" if len(undecided) == 1 else "do"
    names = [one.name for one in undecided]
    who = listed(names) if len(names) <= _NAMED else f"{len(names)} of the variants, {listed(names[:3])} among them,"
    said = f"{who} {verb} not differ significantly from {baseline}"
    known = (one.row.difference.detectable for one in undecided if one.row.difference is not None)
    seen = sorted(size for size in known if size is not None)
    if not seen:
        return said + "."
    span = number(seen[0]) if number(seen[0]) == number(seen[-1]) else f"{number(seen[0])} to {number(seen[-1])}"
    return f"{said}; these seeds detect a difference of {span} with a probability of 80%."


def _warnings(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Diverged and failed runs, and how few seeds there are."""
    said = []
    for row, name in zip(rows, names, strict=True):
        if row.diverged:
            runs = "run" if row.n == 1 else "runs"
            said.append(f"{row.diverged} of {row.n} {runs} of {name} diverged: the tests rank them last.")
    lacking = [f"{row.failed} of {name}" for row, name in zip(rows, names, strict=True) if row.failed]
    if lacking:
        said.append(f"Failed runs are not counted: {listed(lacking)}.")
    warning = small_n([row.n for row in rows if row.n])
    return [*said, warning] if warning else said


def listed(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "nothing"
