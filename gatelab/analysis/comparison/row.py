"""A row of a comparison: a variant with its results on a problem."""

from dataclasses import dataclass, field

from gatelab.analysis.comparison.solving import Solving
from gatelab.analysis.reading.option_values import OptionValues
from gatelab.analysis.reading.results import About
from gatelab.analysis.reading.saturation import ABOVE, BELOW
from gatelab.analysis.reading.variants import Variant
from gatelab.analysis.statistics.differences import Difference, Sample
from gatelab.analysis.statistics.intervals import Interval
from gatelab.analysis.statistics.scales import Axis
from gatelab.runs import Scale, Shape
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
        scale, shape: on which scale scores are compared and how they scatter over seeds, as the task declares both.
        test_size: number of test sequences.
        mean: of the scores on their scale, with its 95% interval (Student's t); only of `shape` "single", and None where `odd`.
        odd: what speaks against scores that scatter around one value, though the task declares it; else "".
        median: of the scores, with its distribution-free 95% interval from five seeds on; diverged runs as the worst.
        on_time: whether rows of this problem are compared by the time to solve and not by the score.
        best: no other row of the same problem is better: earlier to solve, or a better score.
        chance, solved: the scores of a constant predictor and from which on the task counts as solved.
        constant: score of that constant predictor on this very test split, of which `chance` is the expectation.
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
    scale: Scale = "linear"
    shape: Shape = "any"
    test_size: int | None = None
    mean: Interval | None = None
    odd: str = ""
    median: Interval | None = None
    on_time: bool = False
    best: bool = False
    chance: float | None = None
    constant: float | None = None
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
    def axis(self) -> Axis:
        return Axis(self.scale, self.test_size)

    @property
    def centre(self) -> Interval | None:
        """The score that stands for the runs: their mean where it describes them, else their median."""
        return self.median if self.mean is None else self.mean

    @property
    def sample(self) -> Sample:
        return Sample(self.scores, self.seeds, None if self.solving is None else self.solving.times)

    @property
    def better(self) -> bool | None:
        """Whether it is better (True) or worse (False) than the baseline; None if neither is known."""
        return None if self.difference is None else self.difference.better
