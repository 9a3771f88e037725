"""The comparison: one row for each variant, with the mean of its runs and what it is compared with."""

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gatelab.analysis.comparison.solving import Solving, check_level, solving
from gatelab.analysis.reading.option_values import OptionValues
from gatelab.analysis.reading.results import About, Result, read_results
from gatelab.analysis.reading.saturation import ABOVE, BELOW, limits_of
from gatelab.analysis.reading.solving import TimesToSolve, TimeUnit, times_to_solve
from gatelab.analysis.reading.variants import Variant, read_variants, seeds
from gatelab.analysis.statistics.differences import Difference, Sample, differences
from gatelab.analysis.statistics.intervals import Interval, bootstrap_interval, failures_last, mean_interval
from gatelab.errors import UserError, unknown
from gatelab.runs import Run, Skipped
from gatelab.runs.matched import Matched

# What is compared with each other: one score on one task under one set of options.
ProblemKey = tuple[str, OptionValues, str]


@dataclass(frozen=True)
class Row:
    """A variant with its results. None stands for what is missing: a finished run, an interval for a single one, a baseline.

    Attributes:
        variant: with all its runs that could be read.
        metric: the task's score on the test set; `higher_is_better` its direction.
        n: runs with a result: those that finished and those that diverged; `diverged`: how many of them did the latter.
        scores, seeds: (n,), of each run; nan for a diverged one. A data seed of its own stands behind a slash: "0/7".
        mean: of the scores, with its 95% interval (Student's t); nan when a run diverged.
        iqm: interquartile mean and its 95% bootstrap interval, diverged runs as the worst.
        best: no other mean on the same task is better.
        chance, solved: the scores of a constant predictor and from which on the task counts as solved.
        solving: how many runs reach `solved` in validation, and when.
        parameters: number of trained parameters; `matched`: how the hidden size follows from another cell.
        flops_per_step: floating-point operations of the model for one time step of one sequence, forward.
        seconds_per_step: wall-clock seconds an optimiser step takes; `wall_seconds`: a whole run; means over the runs.
        saturated: share of gate activations below `saturated_below` or above `saturated_above`, options of the runs; mean over
            gates, layers and runs.
        failed, running, preempted: numbers of runs without a result.
        difference: to the baseline.
        tried: settings of its cell that were trained on its task, those included that a search ended early.
        about: what its cell and task say of themselves.
        note: why there is no difference, or what the baseline row is if its options are not the row's own.
    """

    variant: Variant
    metric: str
    higher_is_better: bool
    n: int
    diverged: int = 0
    scores: tuple[float, ...] = ()
    seeds: tuple[str, ...] = ()
    mean: Interval | None = None
    iqm: Interval | None = None
    best: bool = False
    chance: float | None = None
    solved: float | None = None
    solving: Solving | None = None
    parameters: int | None = None
    matched: Matched | None = None
    flops_per_step: int | None = None
    seconds_per_step: float | None = None
    wall_seconds: float | None = None
    saturated: float | None = None
    saturated_below: float = BELOW
    saturated_above: float = ABOVE
    failed: int = 0
    running: int = 0
    preempted: int = 0
    difference: Difference | None = None
    tried: int = 1
    note: str = ""
    about: About = field(default_factory=About)

    @property
    def cell(self) -> str:
        return self.variant.cell

    @property
    def options(self) -> OptionValues:
        return self.variant.options

    @property
    def task(self) -> str:
        return self.variant.task

    @property
    def task_options(self) -> OptionValues:
        return self.variant.task_options

    @property
    def problem(self) -> ProblemKey:
        return self.task, self.task_options, self.metric

    @property
    def sample(self) -> Sample:
        return Sample(self.scores, self.seeds)

    @property
    def better(self) -> bool | None:
        """Whether it is better (True) or worse (False) than the baseline; None if neither is known."""
        return None if self.difference is None else self.difference.better


@dataclass(frozen=True)
class Comparison:
    """The rows, by task and then the best first, and the runs left out, with the reason.

    Attributes:
        pruned: how many runs a search ended early. They are not compared: they were trained for fewer steps than the others.
    """

    rows: list[Row]
    skipped: list[Skipped]
    pruned: int = 0


def compare(runs: Iterable[Run], baseline: str | None = None, level: float | None = None, unit: TimeUnit = "steps") -> Comparison:
    """Compares runs on the same task by the mean test score over their seeds.

    Args:
        runs: what `find_runs` found.
        baseline: the cell that the others are compared with.
        level: from which validation score on a task counts as solved; default: what each task declares.
        unit: of the time to solve.

    Raises:
        UserError: there is no run of the baseline, or the level cannot be that of all runs.
    """
    runs = list(runs)
    whole = [run for run in runs if run.state != "pruned"]
    variants, skipped = read_variants(whole)
    tried = Counter(_cell_on_task(variant) for variant in (read_variants(runs)[0] if len(runs) > len(whole) else variants))
    cells = {variant.cell for variant in variants}
    if baseline is not None and baseline not in cells:
        raise UserError(unknown("baseline", baseline, cells))
    read = [(variant, *read_results(variant)) for variant in variants]
    # A variant without a finished run has no summary to name the metric; the task's other variants do.
    levels = {variant.task: result for variant, results, _ in read for result in results if result.metric is not None}
    if level is not None:
        check_level(level, [result for _, results, _ in read for result in results])
    families: dict[ProblemKey, list[tuple[Row, TimesToSolve | None]]] = defaultdict(list)
    for variant, results, damaged in read:
        skipped += damaged
        left_out = {item.path for item in damaged}
        kept = dataclasses.replace(variant, runs=[run for run in variant.runs if run.path not in left_out])
        if kept.runs:
            own = next((result for result in results if result.metric is not None), levels.get(variant.task))
            row = dataclasses.replace(_row(kept, results, own, level), tried=tried[_cell_on_task(variant)])
            times, untimed = times_to_solve(results, own, row.solved, unit)
            skipped += untimed
            families[row.problem].append((row, times))
    rows = [row for family in families.values() for row in _backends_noted(_compared(_best_marked(_timed(family)), baseline))]
    return Comparison(sorted(rows, key=_rank), skipped, len(runs) - len(whole))


def _cell_on_task(variant: Variant) -> tuple[str, tuple[tuple[str, str], ...]]:
    return variant.cell, tuple(sorted((key, value) for key, value in variant.config.items() if key.startswith("task.")))


def _row(variant: Variant, results: list[Result], levels: Result | None, level: float | None) -> Row:
    """The row without what depends on other rows.

    Args:
        levels: a result of the variant, or while it has none of its task, that names the metric.
        level: from which score on the task counts as solved; None: as the task declares.
    """
    below, above = limits_of(variant.config)
    row = Row(
        variant,
        metric=levels.metric or "" if levels else "",
        higher_is_better=bool(levels and levels.higher_is_better),
        n=len(results),
        failed=sum(run.state == "failed" and not run.diverged for run in variant.runs),
        running=sum(run.state == "running" for run in variant.runs),
        preempted=sum(run.state == "preempted" for run in variant.runs),
        saturated_below=below,
        saturated_above=above,
    )
    if not results:
        return row
    scores = tuple(result.score for result in results)
    return dataclasses.replace(
        row,
        diverged=sum(not math.isfinite(score) for score in scores),
        scores=scores,
        seeds=tuple(_seed(result.run) for result in results),
        mean=mean_interval(scores),
        iqm=bootstrap_interval([failures_last(scores, row.higher_is_better)]),
        chance=levels.chance if levels else None,
        solved=levels.solved if levels and level is None else level,
        parameters=next((result.parameters for result in results if result.parameters is not None), None),
        matched=next((result.matched for result in results if result.matched is not None), None),
        flops_per_step=next((result.flops_per_step for result in results if result.flops_per_step is not None), None),
        seconds_per_step=_mean(result.seconds_per_step for result in results),
        wall_seconds=_mean(result.wall_seconds for result in results),
        saturated=_mean(result.saturated for result in results),
        about=next((result.about for result in results if result.metric is not None), About()),
    )


def _seed(run: Run) -> str:
    weights, data = seeds(run)
    return str(weights) if weights == data else f"{weights}/{data}"


def _mean(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def _badness(row: Row, score: Interval | None) -> float:
    """A score, negative where higher is better; infinite without one."""
    if score is None or not math.isfinite(score.value):
        return math.inf
    return -score.value if row.higher_is_better else score.value


def _rank(row: Row) -> tuple[Any, ...]:
    """By mean; where a run diverged, behind all that have one, by interquartile mean."""
    order = _badness(row, row.mean), row.mean is None, _badness(row, row.iqm)
    return row.task, row.task_options, *order, row.cell, row.options


def _timed(family: list[tuple[Row, TimesToSolve | None]]) -> list[Row]:
    """The rows of one problem, with who solves it and when."""
    found = solving([times for _, times in family])
    return [dataclasses.replace(row, solving=own) for (row, _), own in zip(family, found, strict=True)]


def _best_marked(family: list[Row]) -> list[Row]:
    badness = [_badness(row, row.mean) for row in family]
    best = min(badness)
    return [dataclasses.replace(row, best=value == best < math.inf) for row, value in zip(family, badness, strict=True)]


def _compared(family: list[Row], baseline: str | None) -> list[Row]:
    """The rows of one problem, which are one family of tests, with what compares them with the baseline."""
    if baseline is None:
        return family
    rivals = [row for row in family if row.cell == baseline and row.n]
    choices = [_rival(row, rivals, baseline) if row.n and row.cell != baseline else (None, "") for row in family]
    pairs = [(row.sample, rival.sample) for row, (rival, _) in zip(family, choices, strict=True) if rival is not None]
    found = iter(differences(pairs, family[0].higher_is_better))
    return [
        dataclasses.replace(row, difference=None if rival is None else next(found), note=note)
        for row, (rival, note) in zip(family, choices, strict=True)
    ]


def _rival(row: Row, rivals: list[Row], baseline: str) -> tuple[Row | None, str]:
    """The row of the baseline that a row is compared with, or None; and what there is to say about the choice."""
    same = [rival for rival in rivals if rival.variant.shared_options == row.variant.shared_options]
    if len(same) == 1:
        return same[0], ""
    if same:
        return None, f"{len(same)} variants of {baseline} have the same options, so the comparison is not unique"
    if len(rivals) == 1:
        return rivals[0], f"compared with {baseline}, {rivals[0].options}"
    if rivals:
        return None, f"none of the {len(rivals)} variants of {baseline} has the same options"
    return None, f"no finished run of {baseline} on this task"


def _backends_noted(family: list[Row]) -> list[Row]:
    """The rows of one problem, with a note where runs were trained on another backend than most of them."""
    own = [Counter(map(_backend, row.variant.runs)) for row in family]
    all_backends = sum(own, Counter())
    most = next((name for name, _ in all_backends.most_common() if name is not None), None)
    noted = []
    for row, backends in zip(family, own, strict=True):
        others = [
            f"{name} ({count} of {backends.total()} runs)"
            for name, count in sorted(backends.items(), key=str)
            if name not in (None, most)
        ]
        said = [f"trained on the backend {', '.join(others)}, most others on {most}"] if others else []
        noted.append(dataclasses.replace(row, note="; ".join(filter(None, [row.note, *said]))))
    return noted


def _backend(run: Run) -> str | None:
    """What computed the time loop of a run; None if it did not note that."""
    backend = run.provenance.get("backend")
    return backend if isinstance(backend, str) else None
