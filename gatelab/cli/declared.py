"""The arguments that several commands have in common: their types, help and bounds."""

from typing import Annotated, Literal

from gatelab.config import MOST_LAYERS, MOST_THREADS
from gatelab.options.signature import Argument
from gatelab.sweeps.jobs.needs import MOST_JOBS, MOST_RUNS
from gatelab.training.trained import TRUST

MOST_ROUNDS = 10_000
CELL = "a cell and its options, as in lstm, or attention cell.window=3, or mycell.py"
RUNS = "folders with runs, run directories, or sweeps by name or folder"

Runs = Annotated[tuple[str, ...], Argument(RUNS, "RUNS")]
Out = Annotated[str | None, Argument("where to look for sweeps; default: runs, then the folders beside it", "DIR")]
Baseline = Annotated[str | None, Argument("the cell that the others are compared with", "CELL")]
Level = Annotated[
    float | None, Argument("validation score from which on a task counts as solved; default: as the task declares", "SCORE")
]
Time = Annotated[Literal["steps", "seconds", "flops"], Argument("unit of the time to solve")]
Format = Annotated[Literal["table", "json"], Argument("how the answer is printed")]
Dtype = Annotated[Literal["float32", "float64"], Argument("number format")]
Trust = Annotated[bool, Argument(flag=TRUST)]
Jobs = Annotated[int | None, Argument(minimum=1, maximum=MOST_JOBS)]
Seeds = Annotated[int | None, Argument(minimum=1, maximum=MOST_RUNS)]
Threads = Annotated[int | None, Argument(minimum=1, maximum=MOST_THREADS)]
Rounds = Annotated[int | None, Argument(minimum=1, maximum=MOST_ROUNDS)]
Layers = Annotated[int, Argument(minimum=1, maximum=MOST_LAYERS)]
Resamples = Annotated[int | None, Argument(maximum=1_000_000)]
Output = Annotated[str, Argument(metavar="FILE", short="-o")]
