"""`gatelab compare`: a table over whatever runs lie under the folders given."""

import argparse

from gatelab.analysis.comparison.export import render
from gatelab.analysis.comparison.sparklines import validation_curves
from gatelab.analysis.comparison.table import compare
from gatelab.analysis.comparison.terminal import print_brief, print_skipped, print_table
from gatelab.cli.arguments import run_folders, say_changed
from gatelab.process.console import Console
from gatelab.process.output import say
from gatelab.runs import find_runs


def run(options: argparse.Namespace) -> int:
    """Prints the comparison on stdout and what was skipped on stderr."""
    runs, skipped = find_runs(run_folders(options))
    result = compare(runs, options.baseline, options.level, options.time)
    print_skipped([*skipped, *result.skipped], Console(stderr=True))
    say_changed(runs)
    if result.pruned:
        say(f"{result.pruned} runs that a search ended early (pruned) are left out.", stderr=True)
    if options.brief:
        print_brief(result.rows, Console(), options.baseline)
        return 0
    curves = validation_curves(result.rows) if options.format in ("table", "markdown") else None
    if options.format == "table":
        print_table(result.rows, Console(), options.baseline, curves)
    else:
        say(render(result.rows, options.format, options.baseline, curves).removesuffix("\n"))
    return 0
