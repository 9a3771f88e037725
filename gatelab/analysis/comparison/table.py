"""The comparison: one row for each variant, with what its runs came to and what it is compared with."""

import dataclasses
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from gatelab.analysis.comparison.against import compared, led, summarised
from gatelab.analysis.comparison.row import ProblemKey, Row
from gatelab.analysis.comparison.solving import check_level, solving
from gatelab.analysis.reading.results import About, Result, read_results
from gatelab.analysis.reading.saturation import limits_of
from gatelab.analysis.reading.solving import TimesToSolve, TimeUnit, times_to_solve
from gatelab.analysis.reading.variants import Variant, read_variants, seeds
from gatelab.analysis.statistics.intervals import failures_last, median_interval
from gatelab.errors import UserError, unknown
from gatelab.runs import Run, Skipped


@dataclass(frozen=True)
class Comparison:
    """The rows, by task and then the best first, and the runs left out, with the reason.

    Attributes:
        pruned: how many runs a search ended early. They are not compared: they were trained for fewer steps than the others.
    """

    rows: list[Row]
    skipped: list[Skipped]
    pruned: int = 0


def compare(
    runs: Iterable[Run],
    baseline: str | None = None,
    level: float | None = None,
    unit: TimeUnit = "steps",
    paired: bool = False,
) -> Comparison:
    """Compares runs on the same task: by who solves it and when, or by the test score over their seeds.

    Args:
        runs: what `find_runs` found.
        baseline: the cell that the others are compared with.
        level: from which validation score on a task counts as solved; default: what each task declares.
        unit: of the time to solve.
        paired: compare runs of equal seeds, and their scores in any case.

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
    problems = [_best_marked(led(summarised(_timed(family)), paired)) for family in families.values()]
    rows = [row for family in compared(problems, baseline, paired) for row in _backends_noted(family)]
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
        median=median_interval(failures_last(scores, row.higher_is_better)),
        scale=levels.scale if levels else row.scale,
        shape=levels.shape if levels else row.shape,
        test_size=levels.test_size if levels else None,
        chance=levels.chance if levels else None,
        constant=levels.constant if levels else None,
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


def _badness(row: Row) -> tuple[float, float]:
    """What orders the rows of a problem: the time to solve where that is compared, then the score; nothing last."""
    sign = -1.0 if row.higher_is_better else 1.0
    score = math.inf if row.centre is None or not math.isfinite(row.centre.value) else sign * row.centre.value
    late = row.solving.mean.value if row.on_time and row.solving is not None else math.inf
    return (late, score) if row.on_time else (score, math.inf)


def _rank(row: Row) -> tuple[Any, ...]:
    return row.task, row.task_options, *_badness(row), row.median is None, row.cell, row.options


def _timed(family: list[tuple[Row, TimesToSolve | None]]) -> list[Row]:
    """The rows of one problem, with who solves it and when."""
    found = solving([times for _, times in family])
    return [dataclasses.replace(row, solving=own) for (row, _), own in zip(family, found, strict=True)]


def _best_marked(family: list[Row]) -> list[Row]:
    badness = [_badness(row) for row in family]
    best = min(badness)
    known = best != (math.inf, math.inf)
    return [dataclasses.replace(row, best=known and value == best) for row, value in zip(family, badness, strict=True)]


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
