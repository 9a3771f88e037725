"""The numbers of a calibration and the bars that they must meet."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gatelab.analysis.calibration.measured import Measured

RUNS = (3, 5, 10)
TRIALS = (20, 40, 80)
COVERAGE, ERRORS, POWER = "coverage of 95% intervals", "family-wise error at 5%", "power"
HOLDS, LOOKS = 'claims that just fail and "hold", at one look', 'claims that just fail and "hold", within five looks'
SEARCHES, WIDTHS, FALSE_SEARCHES = "coverage of 95% intervals of searches", "half width", 'claims of searches that "hold"'
OF_SEARCHES = (SEARCHES, WIDTHS, FALSE_SEARCHES)
PARTS = {"coverage": (COVERAGE,), "errors": (ERRORS,), "claims": (HOLDS, LOOKS), "searches": OF_SEARCHES, "power": (POWER,)}
_SMALL = (ERRORS, HOLDS, LOOKS, WIDTHS, FALSE_SEARCHES)  # what has to be small
_RARE = 0.02  # an interval that fewer samples have is an accident and not judged
Measure = Callable[[int, np.random.Generator], list[Measured]]


@dataclass(frozen=True)
class Cell:
    """One number of the table.

    Attributes:
        kind: what is measured, the heading of its part of the table.
        of: the statistic or test; `truth`: for which scores; `n`: runs of each variant, of a search its trials.
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
        return self.judged and self.missed == ("above" if self.kind in _SMALL else "below")


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


def covered(of: str, truth: str, n: int, judged: bool = True) -> Cell:
    """The coverage of an interval of n runs."""
    return Cell(COVERAGE, of, truth, n, 0.93 if n >= 5 else 0.9, 0.98, judged)


def bounded(kind: str, of: str, truth: str, n: int, high: float, judged: bool = True) -> Cell:
    """What has to be at most `high`."""
    return Cell(kind, of, truth, n, math.nan, high, judged)
