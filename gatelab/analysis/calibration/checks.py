"""The table of `gatelab calibrate`: what is measured for which truth and number of runs, and the bars that it must meet."""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np

from gatelab.analysis.calibration import measured
from gatelab.analysis.calibration.measured import Measured
from gatelab.analysis.calibration.recorded import cifg_against_lstm
from gatelab.analysis.calibration.truths import BIMODAL, HASTY, LOGNORMAL, NORMAL, SATURATED, WILD, WRONG, Truth
from gatelab.analysis.statistics.differences import Family, Sample

RUNS = (3, 5, 10)
TASKS = (1, 10)
COVERAGE, ERRORS, POWER = "coverage of 95% intervals", "family-wise error at 5%", "power"
_RARE = 0.02  # an interval that fewer samples have is an accident and not judged
Measure = Callable[[int, np.random.Generator], list[Measured]]


@dataclass(frozen=True)
class Cell:
    """One number of the table.

    Attributes:
        kind: what is measured: COVERAGE, ERRORS or POWER.
        of: the statistic or test; `truth`: for which scores; `n`: runs of each variant.
        low, high: the bar; nan on a side without one.
        judged: whether the bar counts: not where a task declares its scores wrongly, which the data cannot always show.
        found: what was measured; None before.
    """

    kind: str
    of: str
    truth: str
    n: int
    low: float
    high: float
    judged: bool = True
    found: Measured | None = None

    @property
    def printed(self) -> bool:
        """Whether there is anything to judge: an interval that is printed for such samples."""
        return self.found is not None and self.found.count > _RARE * self.found.of

    @property
    def missed(self) -> str:
        """ "below" or "above" where the bar is missed by more than two standard errors of the simulation, else "".

        Above, an interval covers more than it has to: it is wider than it could be, but holds what it says.
        """
        if self.found is None or not self.printed:
            return ""
        slack = 2 * self.found.error + 1e-9
        return "below" if self.found.share + slack < self.low else "above" if self.found.share - slack > self.high else ""

    @property
    def failed(self) -> bool:
        """Whether a promise is broken: too little coverage or power, too many false findings, where the truth is as declared."""
        return self.judged and self.missed == ("above" if self.kind == ERRORS else "below")


@dataclass(frozen=True)
class Job:
    """Cells that are measured together.

    Attributes:
        cells: without what is measured; `measure`: makes it, one for each cell.
        cost: repetitions relative to the number asked for.
    """

    cells: list[Cell]
    measure: Measure
    cost: float = 1.0


def measure(repetitions: int, processes: int = 1) -> Iterator[list[Cell]]:
    """Measures the whole table, part by part; the same numbers for the same repetitions.

    Args:
        repetitions: of each simulation.
        processes: that share the work.
    """
    numbers = range(len(jobs()))
    if processes == 1:
        yield from map(measured_cells, numbers, itertools.repeat(repetitions))
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(measured_cells, numbers, itertools.repeat(repetitions))


def measured_cells(number: int, repetitions: int) -> list[Cell]:
    """The cells of a job; by number, for jobs do not travel between processes."""
    job = jobs()[number]
    found = job.measure(max(20, round(job.cost * repetitions)), np.random.default_rng([16, number]))
    return [
        Cell(cell.kind, cell.of, cell.truth, cell.n, cell.low, cell.high, cell.judged, one)
        for cell, one in zip(job.cells, found, strict=True)
    ]


def jobs() -> list[Job]:
    """Everything that is measured, in the order of the table."""
    return [*_means(), *_solving(), *_comparisons(), *_family_errors(), *_powers()]


def _covered(of: str, truth: str, n: int, judged: bool = True) -> Cell:
    return Cell(COVERAGE, of, truth, n, 0.93 if n >= 5 else 0.9, 0.98, judged)


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
        yield Job([_covered("mean", truth.name, n, judged)], _single(measured.mean, truth, n))
    for truth, n in itertools.product((NORMAL, LOGNORMAL, *BIMODAL, SATURATED), RUNS):
        yield Job([_covered("median", truth.name, n)], _single(measured.median, truth, n))


def _solving() -> Iterator[Job]:
    """Who solves the task, and when."""
    for truth, n in itertools.product(BIMODAL, RUNS):
        p = float(truth.name.split()[1])
        yield Job([_covered("share solved", truth.name, n)], lambda _, __, p=p, n=n: [measured.share_solved(p, n)])
        yield Job([_covered("time to solve", truth.name, n)], _single(measured.time_to_solve, truth, n), 0.5)


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
        cell = _covered("all of 4 adjusted differences", truth.name, n)
        yield Job([cell], _single(measured.simultaneous, truth, 4, n, False), 0.25)
    for truth, n in itertools.product(BIMODAL, RUNS):
        cell = _covered("all of 4 adjusted time ratios", truth.name, n)
        yield Job([cell], _single(measured.simultaneous, truth, 4, n, True), 0.25)


def _comparison(one: Truth, other: Truth, n: int, on_time: bool) -> Job:
    names = measured.compared(one, other, on_time)
    truth = one.name if one.draw is other.draw else f"{one.name} / {other.name.split()[-1]}"
    cells = [_covered(name, truth, n) for name in names]

    def both(repetitions: int, rng: np.random.Generator) -> list[Measured]:
        found = measured.together(one, other, n, repetitions, rng, on_time)
        return [found[name] for name in names]

    return Job(cells, both, 0.5)


def _family_errors() -> Iterator[Job]:
    """False findings among 5 and 10 variants, the baseline included, over one task and ten."""
    for truth, variants, n in itertools.product((NORMAL, LOGNORMAL, *BIMODAL, SATURATED, *WRONG), (4, 9), RUNS):
        of = "Dunnett" if truth.shape == "single" else "ranks"
        yield _errors(of, [truth] * (variants + 1), truth.name, n, False, True)
    for truth, variants, n in itertools.product(BIMODAL, (4, 9), RUNS):
        yield _errors("log-rank", [truth] * (variants + 1), truth.name, n, True, True)
    for variants, n in itertools.product((4, 9), RUNS):
        yield _errors("Dunnett", [NORMAL, WILD, *[NORMAL] * (variants - 1)], "normal, sd of one x 3", n, False, False)


def _errors(of: str, truths: list[Truth], name: str, n: int, on_time: bool, judged: bool) -> Job:
    places = f"{len(truths)} variants"
    cells = [Cell(ERRORS, f"{of}, {places}, {count} task{'s' * (count > 1)}", name, n, math.nan, 0.06, judged) for count in TASKS]

    def error(repetitions: int, rng: np.random.Generator) -> list[Measured]:
        return measured.family_error(truths, n, repetitions, rng, on_time, TASKS)

    return Job(cells, error, 0.5 if on_time else 1.0)


def _powers() -> Iterator[Job]:
    """What is found of what is there."""
    of = "log-rank, cifg and lstm, 5 variants"
    yield Job([Cell(POWER, of, "recorded, adding", 5, 0.9, math.nan)], _single(measured.power, cifg_against_lstm), 0.5)
    for n, shift in ((3, 3.0), (5, 2.0), (10, 1.5)):
        of = f"Dunnett, {shift:g} sd, 5 variants"
        yield Job([Cell(POWER, of, NORMAL.name, n, math.nan, math.nan)], _single(measured.power, partial(_shifted, n, shift)))


def _shifted(n: int, shift: float, rng: np.random.Generator) -> Family:
    """Five variants of which the first of four is better by so many standard deviations."""
    base, first, *others = rng.standard_normal((5, n))
    return Family(
        Sample(base.tolist()), [Sample((first + shift).tolist()), *(Sample(x.tolist()) for x in others)], True, shape="single"
    )
