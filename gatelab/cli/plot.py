"""`gatelab plot`: one figure of the report for a paper, as PDF, PNG or SVG."""

from collections.abc import Sequence

from gatelab.analysis.comparison.terminal import print_skipped
from gatelab.analysis.figures import FIGURES
from gatelab.analysis.figures.mpl import write_figure
from gatelab.analysis.reading.solving import TimeUnit
from gatelab.cli.arguments import output_file
from gatelab.errors import UserError, unknown
from gatelab.process.console import Console
from gatelab.process.output import say
from gatelab.runs import find_runs
from gatelab.runs.folders import run_folders


def run(
    folders: Sequence[str], out: str | None, figure: str, output: str, task: str | None, level: float | None, time: TimeUnit
) -> int:
    """Draws the figure and prints where it is."""
    if figure not in FIGURES:  # said before the runs are read
        raise UserError(unknown("figure", figure, FIGURES))
    path = output_file(output, "--output")
    runs, skipped = find_runs(run_folders(folders, out))
    left_out = write_figure(runs, figure, path, task, level, time)
    print_skipped([*skipped, *left_out], Console(stderr=True))
    say(f"Figure {figure}: {path.resolve()}")
    return 0
