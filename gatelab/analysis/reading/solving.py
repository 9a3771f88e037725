"""When runs solve their task: at the first validation whose score reaches a level, or not within their budget."""

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gatelab.analysis.reading.results import Result
from gatelab.analysis.reading.series import seconds_at
from gatelab.diagnostics import keys
from gatelab.errors import UserError
from gatelab.runs import Run, Skipped

TimeUnit = Literal["steps", "seconds", "flops"]
UNITS: dict[TimeUnit, str] = {
    "steps": "optimiser steps",
    "seconds": "seconds of training",
    "flops": "FLOPs of the forward passes of training",
}


@dataclass(frozen=True)
class TimesToSolve:
    """When the runs of a variant solved their task.

    Attributes:
        level: the validation score from which on the task counts as solved.
        unit: of the times.
        times: (n,), when a run reached the level; of a run that did not, the end of its budget.
        solved: (n,), whether it did.
        budget: the shortest of the runs.
    """

    level: float
    unit: TimeUnit
    times: tuple[float, ...]
    solved: tuple[bool, ...]
    budget: float


def times_to_solve(
    results: Sequence[Result], scored: Result | None, level: float | None, unit: TimeUnit = "steps"
) -> tuple[TimesToSolve | None, list[Skipped]]:
    """When each run of a variant reached a level for the first time.

    A run that ended before its budget did, because it diverged or its patience was exhausted, did not solve the task within the
    budget, whatever it reached before it diverged: it counts as unsolved at the end of the budget. Times are those of validations.

    Args:
        results: of the variant.
        scored: a result on the same task that names metric and direction; those of a diverged run do not.
        level: the score from which on the task counts as solved. Without it, or without `scored`, nothing is read.
        unit: of the times.

    Returns:
        The times, None where no run has one; and the runs that are left out because they recorded no validation score, cannot be
        read, or did not note what the unit needs.
    """
    if scored is None or level is None:
        return None, []
    key = keys.score("val", str(scored.metric))
    compare = operator.ge if scored.higher_is_better else operator.le
    found: list[tuple[float, bool, float]] = []
    skipped = []
    for result in results:
        try:
            step = math.inf
            if not result.run.diverged:
                step = first_step(result.run, key, lambda value: compare(value, level))
            if math.isnan(step):
                raise UserError(f"metrics.jsonl holds no {key}")
            end = budget(result.run)
            first, last = _in_unit((min(step, end), end), result, results, unit)
            found.append((first, math.isfinite(step), last))
        except (LookupError, TypeError, ValueError) as error:  # a UserError is a ValueError
            skipped.append(Skipped(result.run.path, f"its time to solve is left out: {error}"))
    if not found:
        return None, skipped
    times, solved, ends = zip(*found, strict=True)
    return TimesToSolve(level, unit, times, solved, min(ends)), skipped


def first_step(run: Run, key: str, reaches: Callable[[float], bool]) -> float:
    """The optimiser step of the first record of a metric that reaches a level.

    Returns:
        The step; infinite if no record does, nan if there is none.

    Raises:
        UserError: the run cannot be read.
    """
    steps, values = run.metrics(key.partition("/")[0]).get(key, ([], []))
    if not steps:
        return math.nan
    return next((float(step) for step, value in zip(steps, values, strict=True) if reaches(value)), math.inf)


def budget(run: Run) -> float:
    """The optimiser steps that a run may make.

    Raises:
        UserError: its configuration does not say.
    """
    try:
        return float(run.config["trainer"]["max_steps"])
    except (LookupError, TypeError, ValueError) as error:
        raise UserError("config.json lacks trainer.max_steps") from error


def _in_unit(steps: tuple[float, ...], result: Result, results: Sequence[Result], unit: TimeUnit) -> Iterable[float]:
    """What a run has spent until each of some steps, which rise.

    Raises:
        UserError: it did not note what the unit needs.
    """
    if unit == "steps":
        return steps
    if unit == "seconds":
        rates = result.run.metrics("time").get(keys.STEPS_PER_SECOND, ([], []))
        seconds = seconds_at([int(step) for step in steps], *rates, result.seconds_per_step)
        if not all(map(math.isfinite, seconds)):
            raise UserError("it recorded no speed")
        return seconds
    # A diverged run has no summary, but all runs of a variant compute the same.
    known = next((one for one in results if one.flops_per_step is not None and one.sequence_length is not None), None)
    if known is None or known.flops_per_step is None or known.sequence_length is None:
        raise UserError("no summary of its variant has flops_per_step and sequence_length")
    one = known.flops_per_step * known.sequence_length * result.run.config["trainer"]["batch_size"]
    return [step * one for step in steps]
