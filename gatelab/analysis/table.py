"""The comparison: one row for each configuration, with the mean of its runs and what it is compared with."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gatelab.analysis.differences import welch_interval
from gatelab.analysis.groups import Group, group_runs
from gatelab.analysis.statistics import mean_interval
from gatelab.registry import UserError, unknown
from gatelab.runs import Run, Skipped


@dataclass(frozen=True)
class Row:
    """One configuration. None stands for what there is not: no finished run, no interval for a single one, no baseline.

    Attributes:
        task_options, options: what sets the row apart from others of the same task and cell (see `Group`).
        metric: the task's score on the test set; `higher_is_better` its direction.
        n: finished runs.
        mean, low, high: their mean score and its 95% interval (Student's t).
        best: no other mean on the same task is better.
        chance, solved: the scores of a constant predictor and from which on the task counts as solved.
        solved_share: share of the finished runs that reach `solved`.
        parameters: number of trained parameters.
        seconds_per_step: wall-clock seconds an optimiser step takes, mean over the runs.
        saturated: share of gate activations below 0.1 or above 0.9, mean over gates, layers and runs.
        failed, running: numbers of runs that did not finish.
        difference, difference_low, difference_high: mean minus the baseline's, and its 95% interval (Welch).
        better: whether the row is better (True) or worse (False) than the baseline, if the interval excludes 0.
        note: why there is no difference, or what the baseline row is if its options are not the row's own.
    """

    task: str
    task_options: str
    cell: str
    options: str
    metric: str
    higher_is_better: bool
    n: int
    mean: float | None = None
    low: float | None = None
    high: float | None = None
    best: bool = False
    chance: float | None = None
    solved: float | None = None
    solved_share: float | None = None
    parameters: int | None = None
    seconds_per_step: float | None = None
    saturated: float | None = None
    failed: int = 0
    running: int = 0
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    better: bool | None = None
    note: str = ""

    @property
    def problem(self) -> tuple[str, str, str]:
        """What is compared with each other: one score on one task under one set of options."""
        return self.task, self.task_options, self.metric


@dataclass(frozen=True)
class Comparison:
    """The rows, by task and then the best first; the runs behind each of them; the runs left out, with the reason."""

    rows: list[Row]
    groups: list[Group]
    skipped: list[Skipped]


@dataclass(frozen=True)
class _Result:
    """What the comparison needs of a finished run."""

    metric: str
    higher_is_better: bool
    score: float
    chance: float | None
    solved: float | None
    parameters: int | None
    seconds_per_step: float | None
    saturated: float | None


@dataclass(frozen=True)
class _Entry:
    """A group on its way to a row."""

    group: Group
    results: list[_Result]
    row: Row

    @property
    def scores(self) -> list[float]:
        return [result.score for result in self.results]

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
    groups, skipped = group_runs(runs)
    cells = {group.cell for group in groups}
    if baseline is not None and baseline not in cells:
        raise UserError(unknown("baseline", baseline, cells))
    read = [(group, *_results(group)) for group in groups]
    # A group without a finished run has no summary to name the metric; the task's other groups do.
    metrics = {group.task: (results[0].metric, results[0].higher_is_better) for group, results, _ in read if results}
    entries = []
    for group, results, damaged in read:
        skipped += damaged
        left_out = {item.path for item in damaged}
        kept = dataclasses.replace(group, runs=[run for run in group.runs if run.path not in left_out])
        if kept.runs:
            entries.append(_Entry(kept, results, _row(kept, results, *metrics.get(group.task, ("", False)))))
    best: dict[tuple[str, str, str], float] = {}
    for row in (entry.row for entry in entries):
        best[row.problem] = min(_badness(row), best.get(row.problem, math.inf))
    finished = [entry for entry in entries if entry.results]
    pairs = []
    for entry in entries:
        row = dataclasses.replace(entry.row, best=_badness(entry.row) == best[entry.row.problem] < math.inf)
        if baseline is not None and row.cell != baseline:
            row = dataclasses.replace(row, **_difference(entry, baseline, finished))
        pairs.append((row, entry.group))
    pairs.sort(key=lambda pair: _rank(pair[0]))
    return Comparison([row for row, _ in pairs], [group for _, group in pairs], skipped)


def _results(group: Group) -> tuple[list[_Result], list[Skipped]]:
    """The results of the finished runs, and the finished runs without usable ones."""
    results: list[_Result] = []
    damaged = []
    for run in group.runs:
        if run.state == "finished":
            try:
                result = _result(run)
                if results and result.metric != results[0].metric:
                    raise UserError(f"summary.json: the metric is '{result.metric}', other runs have '{results[0].metric}'")
                results.append(result)
            except UserError as error:
                damaged.append(Skipped(run.path, str(error)))
    return results, damaged


def _result(run: Run) -> _Result:
    """Reads a summary.

    Raises:
        UserError: it is missing or damaged.
    """
    summary = run.summary()
    try:
        metric = summary["metric"]
        if not isinstance(metric, str):
            raise TypeError("the metric is not a name")
        return _Result(
            metric=metric,
            higher_is_better=bool(summary["higher_is_better"]),
            score=float(summary["test"][metric]),
            chance=_optional(summary.get("chance")),
            solved=_optional(summary.get("solved")),
            parameters=summary["parameters"] if isinstance(summary.get("parameters"), int) else None,
            seconds_per_step=_optional(summary.get("seconds_per_step")),
            saturated=_saturated(summary.get("gates") or {}),
        )
    except KeyError as error:
        raise UserError(f"summary.json lacks {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"summary.json is damaged: {error}") from error


def _optional(value: Any) -> float | None:
    return None if value is None else float(value)


def _saturated(gates: Mapping[str, Any]) -> float | None:
    """Left- and right-saturated share together, mean over the gates of all layers."""
    left = [float(value) for key, value in gates.items() if key.endswith("/saturated_left")]
    right = [float(value) for key, value in gates.items() if key.endswith("/saturated_right")]
    return (sum(left) + sum(right)) / len(left) if left else None


def _row(group: Group, results: list[_Result], metric: str, higher_is_better: bool) -> Row:
    """The row without what depends on other rows; `metric` and its direction stand in where there is no result."""
    states = [run.state for run in group.runs]
    row = Row(
        task=group.task,
        task_options=group.task_options,
        cell=group.cell,
        options=group.options,
        metric=results[0].metric if results else metric,
        higher_is_better=results[0].higher_is_better if results else higher_is_better,
        n=len(results),
        failed=states.count("failed"),
        running=states.count("running"),
    )
    if not results:
        return row
    first, scores = results[0], [result.score for result in results]
    interval = mean_interval(scores)
    return dataclasses.replace(
        row,
        mean=interval.value,
        low=interval.low,
        high=interval.high,
        chance=first.chance,
        solved=first.solved,
        solved_share=_solved_share(scores, first.solved, first.higher_is_better),
        parameters=first.parameters,
        seconds_per_step=_mean(result.seconds_per_step for result in results),
        saturated=_mean(result.saturated for result in results),
    )


def _solved_share(scores: list[float], level: float | None, higher_is_better: bool) -> float | None:
    if level is None:
        return None
    return sum(score >= level if higher_is_better else score <= level for score in scores) / len(scores)


def _mean(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def _badness(row: Row) -> float:
    """The mean, negative where higher is better; infinite where there is none."""
    if row.mean is None or math.isnan(row.mean):
        return math.inf
    return -row.mean if row.higher_is_better else row.mean


def _rank(row: Row) -> tuple[Any, ...]:
    return row.task, row.task_options, _badness(row), row.mean is None, row.cell, row.options


def _difference(entry: _Entry, baseline: str, finished: list[_Entry]) -> dict[str, Any]:
    """The fields of a row that compare it with the baseline on the same task."""
    if not entry.results:
        return {}
    rival, note = _rival(entry, baseline, finished)
    if rival is None:
        return {"note": note}
    difference = welch_interval(entry.scores, rival.scores)
    better = None
    if difference.low is not None and difference.high is not None and (difference.low > 0 or difference.high < 0):
        better = (difference.low > 0) == entry.row.higher_is_better
    return {
        "difference": difference.value,
        "difference_low": difference.low,
        "difference_high": difference.high,
        "better": better,
        "note": note,
    }


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
