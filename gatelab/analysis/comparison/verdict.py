"""What the runs show, in words: what differs from the baseline, by how much, and what could not have been seen."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gatelab.analysis.comparison.formats import name, number, probability, share, short_options
from gatelab.analysis.comparison.table import Row
from gatelab.analysis.statistics.differences import RANKS
from gatelab.analysis.statistics.intervals import small_n

_NAMED = 8  # names in one sentence
Outcome = Literal["better", "worse", "undecided", "untested"]


@dataclass(frozen=True)
class Finding:
    """One configuration against the baseline.

    Attributes:
        row: the configuration with all its numbers; `variant`: what it is called.
        outcome: better or worse if p_adjusted < 0.05, else undecided; untested when there was nothing to test.
        sentence: says so, with size, interval, p and number of seeds; plain text.
    """

    row: Row
    variant: str
    outcome: Outcome
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """What is to be said of one problem.

    Attributes:
        title: the task with its options.
        findings: one for each configuration but the baseline, in the order of the rows.
        sentences: the same in a paragraph that takes configurations together where it can, with what the reader must be warned of.
    """

    title: str
    findings: list[Finding]
    sentences: list[str]


def verdicts(rows: Iterable[Row], baseline: str | None = None) -> list[Verdict]:
    """Says what rows show, problem by problem.

    Args:
        rows: of `compare`, with the same baseline.
        baseline: the cell that the others were compared with; without one nothing was tested, and that is said.
    """
    made = []
    for (task, task_options, _), group in itertools.groupby(rows, key=lambda row: row.problem):
        members = list(group)
        short = short_options(row.options for row in members)
        names = [f"{row.cell} ({short[row.options]})" if row.options else row.cell for row in members]
        pairs = zip(members, names, strict=True)
        findings = [_finding(row, variant, baseline) for row, variant in pairs if baseline not in (None, row.cell)]
        made.append(
            Verdict(
                title=name(task, task_options),
                findings=findings,
                sentences=[*_outcomes(findings, baseline, members, names), *_warnings(members, names)],
            )
        )
    return made


def _finding(row: Row, variant: str, baseline: str | None) -> Finding:
    if not row.test:
        return Finding(row, variant, "untested", f"{variant} was not compared with {baseline}: {_why_not(row)}.")
    if row.better is None:
        said = f"{variant} does not differ significantly from {baseline} ({_evidence(row, _signed_interval(row))})."
        return Finding(row, variant, "undecided", said)
    outcome: Outcome = "better" if row.better else "worse"
    size = "" if row.difference is None or row.test == RANKS else f" by {number(abs(row.difference))}"
    return Finding(row, variant, outcome, f"{variant} is {outcome} than {baseline}{size} ({_evidence(row, _interval(row))}).")


def _why_not(row: Row) -> str:
    if not row.n:
        return "no finished run"
    return row.note if row.note and row.difference is None else "a test needs two seeds of each side"


def _signed_interval(row: Row) -> str:
    numbers = [value for value in (row.difference, row.difference_low, row.difference_high) if value is not None]
    if len(numbers) < 3:
        return ""
    value, low, high = (number(value, sign=True) for value in numbers)
    return f"difference {value}, 95% interval {low} to {high}"


def _interval(row: Row) -> str:
    """The interval of the size of a difference whose direction has been said."""
    if row.difference is None or row.difference_low is None or row.difference_high is None:
        return ""
    direction = 1 if row.difference > 0 else -1
    low, high = sorted((direction * row.difference_low, direction * row.difference_high))
    return f"95% interval {number(low)} to {number(high)}"


def _evidence(row: Row, interval: str) -> str:
    """The numbers behind a statement, for brackets."""
    said = [interval] if interval else []
    if row.test == RANKS and row.improvement is not None:
        said.append(f"it beats the baseline in {share(row.improvement)} of the pairs of runs")
    if row.p_adjusted is not None:
        p = probability(row.p_adjusted)
        said.append(f"{row.test}, adjusted p {p if p.startswith('<') else f'= {p}'}")
    return "; ".join([*said, f"n = {row.n}"])


def _outcomes(findings: Sequence[Finding], baseline: str | None, rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    if baseline is None:
        best = [variant for row, variant in zip(rows, names, strict=True) if row.best]
        said = [f"The best mean is that of {listed(best)}."] if best else []
        return [*said, "No baseline was named, so that nothing was tested."] if len(rows) > 1 else said
    if not any(row.cell == baseline and row.n for row in rows):
        return [f"There is no finished run of {baseline}, so that nothing was tested."]
    said = [finding.sentence for finding in findings if finding.outcome in ("better", "worse")]
    undecided = [finding for finding in findings if finding.outcome == "undecided"]
    if undecided:
        said.append(_not_significant(undecided, baseline))
    reasons: dict[str, list[str]] = {}
    for finding in findings:
        if finding.outcome == "untested":
            reasons.setdefault(_why_not(finding.row), []).append(finding.variant)
    return said + [f"Not compared with {baseline}: {listed(variants)} ({reason})." for reason, variants in reasons.items()]


def _not_significant(undecided: Sequence[Finding], baseline: str) -> str:
    """What does not differ, and how large a difference would have had to be."""
    verb = "does" if len(undecided) == 1 else "do"
    names = [finding.variant for finding in undecided]
    who = listed(names) if len(names) <= _NAMED else f"{len(names)} of the configurations, {listed(names[:3])} among them,"
    said = f"{who} {verb} not differ significantly from {baseline}"
    seen = sorted(finding.row.detectable for finding in undecided if finding.row.detectable is not None)
    if not seen:
        return said + "."
    span = number(seen[0]) if number(seen[0]) == number(seen[-1]) else f"{number(seen[0])} to {number(seen[-1])}"
    return f"{said}; that many seeds would have shown a difference of {span} with a probability of 80%."


def _warnings(rows: Sequence[Row], names: Sequence[str]) -> list[str]:
    """Diverged and failed runs, and how few seeds there are."""
    said = []
    for row, variant in zip(rows, names, strict=True):
        if row.diverged:
            runs = "run" if row.n == 1 else "runs"
            said.append(f"{row.diverged} of {row.n} {runs} of {variant} diverged: the tests rank them last.")
    lacking = [f"{row.failed} of {variant}" for row, variant in zip(rows, names, strict=True) if row.failed]
    if lacking:
        said.append(f"Failed runs are not counted: {listed(lacking)}.")
    warning = small_n([row.n for row in rows if row.n])
    return [*said, warning] if warning else said


def listed(names: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1]))) if names else "nothing"
