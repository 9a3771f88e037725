"""The comparison: one row for each configuration, with the mean of its runs and what it is compared with."""

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gatelab.analysis.reading.groups import Group, OptionValues, group_runs, read_provenance, seeds
from gatelab.analysis.reading.results import Result, read_results
from gatelab.analysis.reading.saturation import ABOVE, BELOW, limits_of
from gatelab.analysis.statistics.differences import Difference, Sample, differences
from gatelab.analysis.statistics.intervals import bootstrap_interval, failures_last, mean_interval
from gatelab.errors import UserError, unknown
from gatelab.runs import Run, Skipped


@dataclass(frozen=True)
class Row:
    """One configuration. None stands for what there is not: no finished run, no interval for a single one, no baseline.

    Attributes:
        task_options, options: what sets the row apart from others of the same task and cell (see `Group`).
        metric: the task's score on the test set; `higher_is_better` its direction.
        n: runs with a result: those that finished and those that diverged; `diverged`: how many of them did the latter.
        scores, seeds: (n,), of each run; nan for a diverged one. A data seed of its own stands behind a slash: "0/7".
        mean, low, high: mean score and its 95% interval (Student's t); the mean is nan when a run diverged.
        iqm, iqm_low, iqm_high: interquartile mean and its 95% bootstrap interval, diverged runs as the worst.
        best: no other mean on the same task is better.
        chance, solved: the scores of a constant predictor and from which on the task counts as solved.
        solved_share: share of the n runs that reach `solved`.
        parameters: number of trained parameters.
        flops_per_step: floating-point operations of the model for one time step of one sequence, forward.
        seconds_per_step: wall-clock seconds an optimiser step takes; `wall_seconds`: a whole run; means over the runs.
        saturated: share of gate activations below `saturated_below` or above `saturated_above`, options of the runs; mean over
            gates, layers and runs.
        failed, running, preempted: numbers of runs without a result.
        difference, difference_low, difference_high: mean minus the baseline's, and its 95% interval, not adjusted.
        test, p, p_adjusted, detectable, power, seeds_needed: as in `Difference`.
        better: whether the row is better (True) or worse (False) than the baseline, by `p_adjusted` < 0.05.
        improvement, improvement_low, improvement_high: the probability that a run of the row beats one of the baseline.
        effect, effect_low, effect_high: Hedges' g of the difference.
        note: why there is no difference, or what the baseline row is if its options are not the row's own.
    """

    task: str
    task_options: OptionValues
    cell: str
    options: OptionValues
    metric: str
    higher_is_better: bool
    n: int
    diverged: int = 0
    scores: tuple[float, ...] = ()
    seeds: tuple[str, ...] = ()
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    iqm: float | None = None
    iqm_low: float | None = None
    iqm_high: float | None = None
    best: bool = False
    chance: float | None = None
    solved: float | None = None
    solved_share: float | None = None
    parameters: int | None = None
    flops_per_step: int | None = None
    seconds_per_step: float | None = None
    wall_seconds: float | None = None
    saturated: float | None = None
    saturated_below: float = BELOW
    saturated_above: float = ABOVE
    failed: int = 0
    running: int = 0
    preempted: int = 0
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    test: str = ""
    p: float | None = None
    p_adjusted: float | None = None
    better: bool | None = None
    improvement: float | None = None
    improvement_low: float | None = None
    improvement_high: float | None = None
    effect: float | None = None
    effect_low: float | None = None
    effect_high: float | None = None
    detectable: float | None = None
    power: float | None = None
    seeds_needed: int | None = None
    note: str = ""

    @property
    def problem(self) -> tuple[str, OptionValues, str]:
        """What is compared with each other: one score on one task under one set of options."""
        return self.task, self.task_options, self.metric


@dataclass(frozen=True)
class Comparison:
    """The rows, by task and then the best first; the runs behind each of them; the runs left out, with the reason.

    Attributes:
        pruned: how many runs a search ended early. They are no results: their scores are of less training than the others'.
    """

    rows: list[Row]
    groups: list[Group]
    skipped: list[Skipped]
    pruned: int = 0


@dataclass(frozen=True)
class _Entry:
    """A group on its way to a row."""

    group: Group
    row: Row

    @property
    def sample(self) -> Sample:
        return Sample(self.row.scores, self.row.seeds)

    @cached_property
    def shared_options(self) -> dict[str, str]:
        """The options that do not belong to the cell."""
        return {key: value for key, value in self.group.config.items() if not key.startswith(("cell.", "plugins"))}


def compare(runs: Iterable[Run], baseline: str | None = None) -> Comparison:
    """Compares runs on the same task by the mean test score over their seeds.

    Args:
        runs: what `find_runs` found.
        baseline: the cell that the others are compared with.

    Raises:
        UserError: there is no run of the baseline.
    """
    runs = list(runs)
    whole = [run for run in runs if run.state != "pruned"]
    groups, skipped = group_runs(whole)
    cells = {group.cell for group in groups}
    if baseline is not None and baseline not in cells:
        raise UserError(unknown("baseline", baseline, cells))
    read = [(group, *read_results(group)) for group in groups]
    # A group without a finished run has no summary to name the metric; the task's other groups do.
    levels = {group.task: result for group, results, _ in read for result in results if result.metric is not None}
    entries = []
    for group, results, damaged in read:
        skipped += damaged
        left_out = {item.path for item in damaged}
        kept = dataclasses.replace(group, runs=[run for run in group.runs if run.path not in left_out])
        if kept.runs:
            own = next((result for result in results if result.metric is not None), levels.get(group.task))
            entries.append(_Entry(kept, _row(kept, results, own)))
    entries = _best_marked(entries)
    if baseline is not None:
        entries = _compared(entries, baseline)
    entries = _backends_noted(entries)
    entries.sort(key=lambda entry: _rank(entry.row))
    rows = [entry.row for entry in entries]
    return Comparison(rows, [entry.group for entry in entries], skipped, len(runs) - len(whole))


def _row(group: Group, results: list[Result], levels: Result | None) -> Row:
    """The row without what depends on other rows.

    Args:
        levels: a result of the group, or while it has none of its task, that names the metric.
    """
    below, above = limits_of(group.config)
    row = Row(
        task=group.task,
        task_options=group.task_options,
        cell=group.cell,
        options=group.options,
        metric=levels.metric or "" if levels else "",
        higher_is_better=bool(levels and levels.higher_is_better),
        n=len(results),
        failed=sum(run.state == "failed" and not run.diverged for run in group.runs),
        running=sum(run.state == "running" for run in group.runs),
        preempted=sum(run.state == "preempted" for run in group.runs),
        saturated_below=below,
        saturated_above=above,
    )
    if not results:
        return row
    scores = tuple(result.score for result in results)
    mean, iqm = mean_interval(scores), bootstrap_interval([failures_last(scores, row.higher_is_better)])
    return dataclasses.replace(
        row,
        diverged=sum(not math.isfinite(score) for score in scores),
        scores=scores,
        seeds=tuple(_seed(result.run) for result in results),
        mean=mean.value,
        low=mean.low,
        high=mean.high,
        iqm=iqm.value,
        iqm_low=iqm.low,
        iqm_high=iqm.high,
        chance=levels.chance if levels else None,
        solved=levels.solved if levels else None,
        solved_share=_solved_share(scores, levels.solved if levels else None, row.higher_is_better),
        parameters=next((result.parameters for result in results if result.parameters is not None), None),
        flops_per_step=next((result.flops_per_step for result in results if result.flops_per_step is not None), None),
        seconds_per_step=_mean(result.seconds_per_step for result in results),
        wall_seconds=_mean(result.wall_seconds for result in results),
        saturated=_mean(result.saturated for result in results),
    )


def _seed(run: Run) -> str:
    weights, data = seeds(run)
    return str(weights) if weights == data else f"{weights}/{data}"


def _solved_share(scores: tuple[float, ...], level: float | None, higher_is_better: bool) -> float | None:
    if level is None:
        return None
    reached = failures_last(scores, higher_is_better)
    return float((reached >= level if higher_is_better else reached <= level).mean())


def _mean(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def _badness(row: Row, value: float | None) -> float:
    """A score, negative where higher is better; infinite where there is none."""
    if value is None or not math.isfinite(value):
        return math.inf
    return -value if row.higher_is_better else value


def _rank(row: Row) -> tuple[Any, ...]:
    """By mean; where a run diverged, behind all that have one, by interquartile mean."""
    order = _badness(row, row.mean), row.mean is None, _badness(row, row.iqm)
    return row.task, row.task_options, *order, row.cell, row.options


def _best_marked(entries: list[_Entry]) -> list[_Entry]:
    best: dict[tuple[str, OptionValues, str], float] = {}
    badness = [_badness(entry.row, entry.row.mean) for entry in entries]
    for entry, value in zip(entries, badness, strict=True):
        best[entry.row.problem] = min(value, best.get(entry.row.problem, math.inf))
    return [
        _Entry(entry.group, dataclasses.replace(entry.row, best=value == best[entry.row.problem] < math.inf))
        for entry, value in zip(entries, badness, strict=True)
    ]


def _backends_noted(entries: list[_Entry]) -> list[_Entry]:
    """The entries, with a note where runs were trained on another backend than most that they are compared with."""
    own = [Counter(map(_backend, entry.group.runs)) for entry in entries]
    problems: dict[tuple[str, OptionValues, str], Counter[str | None]] = defaultdict(Counter)
    for entry, backends in zip(entries, own, strict=True):
        problems[entry.row.problem].update(backends)
    noted = []
    for entry, backends in zip(entries, own, strict=True):
        most = next((name for name, _ in problems[entry.row.problem].most_common() if name is not None), None)
        others = [
            f"{name} ({count} of {backends.total()} runs)"
            for name, count in sorted(backends.items(), key=str)
            if name not in (None, most)
        ]
        said = [f"trained on the backend {', '.join(others)}, most others on {most}"] if others else []
        note = "; ".join(filter(None, [entry.row.note, *said]))
        noted.append(_Entry(entry.group, dataclasses.replace(entry.row, note=note)))
    return noted


def _backend(run: Run) -> str | None:
    """What computed the time loop of a run; None if it did not note that."""
    found = read_provenance(run).get("backend")
    return found if isinstance(found, str) else None


def _compared(entries: list[_Entry], baseline: str) -> list[_Entry]:
    """The entries with what compares them with the baseline; each problem is a family of tests of its own."""
    finished = [entry for entry in entries if entry.row.n]
    notes: dict[int, str] = {}
    families: dict[tuple[str, OptionValues, str], list[tuple[int, _Entry]]] = defaultdict(list)
    for index, entry in enumerate(entries):
        if entry.row.n and entry.row.cell != baseline:
            rival, notes[index] = _rival(entry, baseline, finished)
            if rival is not None:
                families[entry.row.problem].append((index, rival))
    found: dict[int, Difference] = {}
    for family in families.values():
        pairs = [(entries[index].sample, rival.sample) for index, rival in family]
        results = differences(pairs, entries[family[0][0]].row.higher_is_better)
        found |= {index: result for (index, _), result in zip(family, results, strict=True)}
    return [
        _Entry(entry.group, dataclasses.replace(entry.row, note=notes.get(index, ""), **_fields(found.get(index))))
        for index, entry in enumerate(entries)
    ]


def _fields(found: Difference | None) -> dict[str, Any]:
    """The fields of a row that hold a difference."""
    if found is None:
        return {}
    same = ("test", "p", "p_adjusted", "better", "detectable", "power", "seeds_needed")
    fields = {name: getattr(found, name) for name in same}
    for name, (value, low, high) in (("improvement", found.improvement), ("effect", found.effect)):
        fields |= {name: None if math.isnan(value) else value, f"{name}_low": low, f"{name}_high": high}
    return fields | {"difference": found.value, "difference_low": found.low, "difference_high": found.high}


def _rival(entry: _Entry, baseline: str, finished: list[_Entry]) -> tuple[_Entry | None, str]:
    """The baseline's results that a group is compared with, or None; and what there is to say about the choice."""
    rivals = [other for other in finished if other.row.cell == baseline and other.row.problem == entry.row.problem]
    same = [other for other in rivals if other.shared_options == entry.shared_options]
    if len(same) == 1:
        return same[0], ""
    if same:
        return None, f"{len(same)} settings of {baseline} have the same options, so the comparison is not unique"
    if len(rivals) == 1:
        return rivals[0], f"compared with {baseline}, {rivals[0].row.options}"
    if rivals:
        return None, f"none of the {len(rivals)} settings of {baseline} has the same options"
    return None, f"no finished run of {baseline} on this task"
