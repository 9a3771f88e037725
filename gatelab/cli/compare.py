"""`gatelab compare`: a table over whatever runs lie under the folders given."""

import argparse

from rich.console import Console

from gatelab.analysis.formats import print_skipped, print_table, render
from gatelab.analysis.table import compare
from gatelab.cli.folders import add_folders
from gatelab.runs import find_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Folders, baseline and format."""
    add_folders(parser)
    parser.add_argument("--format", default="table", choices=("table", "csv", "json", "markdown"), help="default: table")


def run(options: argparse.Namespace) -> int:
    """Prints the comparison on stdout and what was skipped on stderr."""
    runs, skipped = find_runs(options.folders)
    result = compare(runs, options.baseline)
    print_skipped([*skipped, *result.skipped], Console(stderr=True))
    if options.format == "table":
        print_table(result.rows, Console(), options.baseline)
    else:
        print(render(result.rows, options.format, options.baseline), end="")
    return 0
