"""`gatelab plot`: one figure of the report for a paper, as PDF, PNG or SVG."""

import argparse

from gatelab.analysis.comparison.terminal import print_skipped
from gatelab.analysis.figures import FIGURES
from gatelab.analysis.figures.mpl import write_figure
from gatelab.cli.arguments import output_file, run_folders
from gatelab.errors import UserError, unknown
from gatelab.process.console import Console
from gatelab.process.output import say
from gatelab.runs import find_runs


def run(options: argparse.Namespace) -> int:
    """Draws the figure and prints where it is."""
    if options.figure not in FIGURES:  # said before the runs are read
        raise UserError(unknown("figure", options.figure, FIGURES))
    path = output_file(options.output, "--output")
    runs, skipped = find_runs(run_folders(options))
    left_out = write_figure(runs, options.figure, path, options.task, options.level, options.time)
    print_skipped([*skipped, *left_out], Console(stderr=True))
    say(f"Figure {options.figure}: {path.resolve()}")
    return 0
