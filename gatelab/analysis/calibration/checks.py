"""The table of `gatelab calibrate`: what is measured for which truth and number of runs, and the bars that it must meet."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context

import numpy as np

from gatelab.analysis.calibration import families, measured
from gatelab.analysis.calibration.cells import ERRORS, PARTS, POWER, RUNS, Cell, Job, Measure, bounded, covered
from gatelab.analysis.calibration.measured import Measured
from gatelab.analysis.calibration.recorded import cifg_against_lstm
from gatelab.analysis.calibration.searches import search_jobs
from gatelab.analysis.calibration.truths import BIMODAL, HASTY, LOGNORMAL, NORMAL, SATURATED, WILD, WRONG, Truth
from gatelab.analysis.calibration.verdicts import verdict_jobs
from gatelab.analysis.statistics.differences import Family, Sample

SEED = 16
TASKS = 10


def measure(repetitions: int, processes: int = 1, part: str = "all") -> Iterator[list[Cell]]:
    """Measures the table, job by job; the same numbers for the same repetitions.

    Args:
        repetitions: of each simulation.
        processes: that share the work.
        part: of the table, a key of `PARTS`, or "all".
    """
    kinds = PARTS.get(part, tuple(itertools.chain(*PARTS.values())))
    numbers = [number for number, job in enumerate(jobs()) if job.cells[0].kind in kinds]
    if processes == 1:
        yield from map(measured_cells, numbers, itertools.repeat(repetitions))
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(measured_cells, numbers, itertools.repeat(repetitions))


def measured_cells(number: int, repetitions: int) -> list[Cell]:
    """The cells of a job; by number, for jobs do not travel between processes."""
    job = jobs()[number]
    found = job.measure(max(20, round(job.cost * repetitions)), np.random.default_rng([SEED, number]))
    return [dataclasses.replace(cell, found=one) for cell, one in zip(job.cells, found, strict=True)]


def jobs() -> list[Job]:
    """Everything that is measured, in the order of the table."""
    made = [*_means(), *_solving(), *_comparisons(), *_over_tasks(), *_family_errors(), *_other_errors()]
    return [*made, *verdict_jobs(), *search_jobs(), *_powers()]


def _single(function: Callable[..., Measured], *arguments: object) -> Measure:
    return partial(_measured, function, arguments)


def _measured(
    function: Callable[..., Measured], arguments: Sequence[object], repetitions: int, rng: np.random.Generator
) -> list[Measured]:
    return [function(*arguments, repetitions, rng)]


def _means() -> Iterator[Job]:
    """Means where scores scatter around one value, medians for all others."""
    for truth, n in itertools.product((NORMAL, LOGNORMAL, *WRONG), RUNS):
        judged = truth not in WRONG
        yield Job([covered("mean", truth.name, n, judged)], _single(measured.mean, truth, n))
    for truth, n in itertools.product((NORMAL, LOGNORMAL, *BIMODAL, SATURATED), RUNS):
        yield Job([covered("median", truth.name, n)], _single(measured.median, truth, n))


def _solving() -> Iterator[Job]:
    """Who solves the task, and when."""
    for truth, n in itertools.product(BIMODAL, RUNS):
        p = float(truth.name.split()[1])
        yield Job([covered("share solved", truth.name, n)], lambda _, __, p=p, n=n: [measured.share_solved(p, n)])
    timed = {"time to solve": measured.time_to_solve, "median time": measured.median_time_to_solve, "curve solved": measured.curve}
    for (of, function), truth, n in itertools.product(timed.items(), BIMODAL, RUNS):
        yield Job([covered(of, truth.name, n)], _single(function, truth, n), 0.5)


def _comparisons() -> Iterator[Job]:
    """Intervals of one comparison."""
    even = [(truth, truth) for truth in (NORMAL, LOGNORMAL, *BIMODAL, SATURATED)]
    apart = [(BIMODAL[2], BIMODAL[0]), (BIMODAL[1], BIMODAL[0])]
    for (one, other), n in itertools.product([*even, *apart], RUNS):
        yield _comparison(one, other, n, on_time=False)
    paces = zip(HASTY, BIMODAL, strict=True)
    for (one, other), n in itertools.product([*((truth, truth) for truth in BIMODAL), *paces, *apart], RUNS):
        yield _comparison(one, other, n, on_time=True)
    for truth, n in itertools.product((NORMAL, LOGNORMAL, *BIMODAL), RUNS):
        cell = covered("all of 4 adjusted differences", truth.name, n)
        yield Job([cell], _single(measured.simultaneous, truth, 4, n, False), 0.25)
    for truth, n in itertools.product(BIMODAL, RUNS):
        cell = covered("all of 4 adjusted time ratios", truth.name, n)
        yield Job([cell], _single(measured.simultaneous, truth, 4, n, True), 0.25)
    for truth, n in itertools.product((NORMAL, *BIMODAL, SATURATED), RUNS):
        yield Job([covered("difference, --paired", truth.name, n)], _single(measured.paired, truth, n), 0.5)


def _comparison(one: Truth, other: Truth, n: int, on_time: bool) -> Job:
    names = measured.compared(one, other, on_time)
    truth = one.name if one.draw is other.draw else f"{one.name} / {other.name.split()[-1]}"
    cells = [covered(name, truth, n) for name in names]

    def both(repetitions: int, rng: np.random.Generator) -> list[Measured]:
        found = measured.together(one, other, n, repetitions, rng, on_time)
        return [found[name] for name in names]

    return Job(cells, both, 0.5)


def _over_tasks() -> Iterator[Job]:
    """What is printed of several tasks together: of the interquartile mean no interval."""
    for n in RUNS:
        yield Job([covered("IQM over 2 tasks", NORMAL.name, n)], lambda repetitions, _: [Measured(math.nan, 0, repetitions)])
        for tasks in (1, 2):
            cell = covered(f"profile over {tasks} task{'s' * (tasks > 1)}", NORMAL.name, n)
            yield Job([cell], _single(measured.profile, n, tasks))


def _family_errors() -> Iterator[Job]:
    """False findings among 5 and 10 variants, the baseline included, over one task and ten."""
    for truth, variants, n in itertools.product((NORMAL, LOGNORMAL, *BIMODAL, SATURATED, *WRONG), (4, 9), RUNS):
        of = "Dunnett" if truth.shape == "single" else "ranks"
        yield _errors(of, [truth] * (variants + 1), truth.name, n)
    for truth, variants, n in itertools.product(BIMODAL, (4, 9), RUNS):
        yield _errors("log-rank", [truth] * (variants + 1), truth.name, n, on_time=True)
    for variants, n in itertools.product((4, 9), RUNS):
        yield _errors("Dunnett", [NORMAL, WILD, *[NORMAL] * (variants - 1)], "normal, sd of one x 3", n, judged=False)
    for truth, n in itertools.product((NORMAL, BIMODAL[1]), RUNS):
        yield _errors("--paired", [truth] * 5, truth.name, n, pairs=True)


def _errors(
    of: str, truths: list[Truth], name: str, n: int, *, on_time: bool = False, pairs: bool = False, judged: bool = True
) -> Job:
    words = f"{of}, {len(truths)} variants"
    cells = [bounded(ERRORS, f"{words}, {tasks}", name, n, 0.06, judged) for tasks in ("1 task", f"{TASKS} tasks")]
    return Job(cells, partial(families.family_error, truths, n, on_time, pairs, TASKS))


def _other_errors() -> Iterator[Job]:
    """Average ranks over tasks, and the sentence on which variant is ahead."""
    for variants, n in itertools.product((5, 10), RUNS):
        cell = bounded(ERRORS, f"average ranks, {variants} variants, {TASKS} tasks", NORMAL.name, n, 0.06)
        yield Job([cell], _single(families.ranks_error, variants, TASKS))
        cell = bounded(ERRORS, f"the leader's lead, {variants} variants", NORMAL.name, n, 0.06)
        yield Job([cell], _single(families.leader_error, variants, n), 0.5)


def _powers() -> Iterator[Job]:
    """What is found of what is there."""
    of = "log-rank, cifg and lstm, 5 variants"
    yield Job([Cell(POWER, of, "recorded, adding", 5, 0.9, math.nan)], _single(families.power, cifg_against_lstm), 0.5)
    for n, shift in ((3, 3.0), (5, 2.0), (10, 1.5)):
        of = f"Dunnett, {shift:g} sd, 5 variants"
        yield Job([Cell(POWER, of, NORMAL.name, n, math.nan, math.nan)], _single(families.power, partial(_shifted, n, shift)))


def _shifted(n: int, shift: float, rng: np.random.Generator) -> Family:
    """Five variants of which the first of four is better by so many standard deviations."""
    base, first, *others = rng.standard_normal((5, n))
    return Family(
        Sample(base.tolist()), [Sample((first + shift).tolist()), *(Sample(x.tolist()) for x in others)], True, shape="single"
    )
