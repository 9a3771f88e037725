"""How many runs of each variant solve the task, and when: what `statistics.survival` says of the runs that were read."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gatelab.analysis.reading.results import Result
from gatelab.analysis.reading.solving import TimesToSolve, TimeUnit
from gatelab.analysis.statistics.intervals import Interval
from gatelab.analysis.statistics.survival import Survival, Times, kaplan_meier, median_time, restricted_mean, share_interval
from gatelab.errors import UserError

TIME_WORDS: dict[TimeUnit, str] = {"steps": "steps", "seconds": "seconds", "flops": "FLOPs"}


@dataclass(frozen=True)
class Solving:
    """Who of the runs of a variant solves the task, and when.

    Attributes:
        read: the times, their unit and the level.
        until: the shortest budget of all variants of a problem.
        share: share of the runs that solve the task, with its exact interval.
        mean: of min(time, until), with its interval; `median`: of the time, infinite where fewer than half of the runs solve it.
    """

    read: TimesToSolve
    until: float
    share: Interval
    mean: Interval
    median: Interval

    @property
    def count(self) -> int:
        """Runs that solve the task."""
        return sum(self.read.solved)

    @property
    def n(self) -> int:
        """Runs with a time."""
        return len(self.read.times)

    @property
    def times(self) -> Times:
        """What tests compare: what has happened within the shortest budget, which all runs had."""
        pairs = list(zip(self.read.times, self.read.solved, strict=True))
        return Times([min(time, self.until) for time, _ in pairs], [solved and time <= self.until for time, solved in pairs])

    @property
    def curve(self) -> Survival:
        """The share solved against time, to the end of the variant's own budget."""
        return kaplan_meier(Times(self.read.times, self.read.solved))


def solving(family: Sequence[TimesToSolve | None]) -> list[Solving | None]:
    """What the times of the variants of one problem say.

    Args:
        family: the times of each variant; None where none is known.
    """
    until = min((read.budget for read in family if read is not None), default=math.nan)
    found: list[Solving | None] = []
    for read in family:
        if read is None:
            found.append(None)
            continue
        times = Times(read.times, read.solved)
        share = share_interval(sum(read.solved), len(read.solved))
        found.append(Solving(read, until, share, restricted_mean(times, until), median_time(times)))
    return found


def check_level(level: float, results: Iterable[Result]) -> None:
    """Checks that a level which the user gave can be that of all the runs.

    Args:
        level: the validation score from which on a task counts as solved.
        results: of all runs.

    Raises:
        UserError: the runs have several scores, or a constant predictor reaches the level.
    """
    scored = [result for result in results if result.metric is not None]
    names = sorted({str(result.metric) for result in scored})
    if len(names) > 1:
        raise UserError(f"--level is {level:g}, but the scores of these runs are {', '.join(names)}. Give runs with one score.")
    for result in scored:
        reached = result.chance is not None and (result.chance >= level if result.higher_is_better else result.chance <= level)
        if reached:
            side = "above" if result.higher_is_better else "below"
            raise UserError(
                f"--level is {level:g}, but on the task {result.run.task} a constant predictor already has the {result.metric} "
                f"{result.chance:.4g}. Give a level {side} that."
            )
