"""Arguments that the commands over run directories share."""

import argparse
import shlex


def add_run_folders(parser: argparse.ArgumentParser) -> None:
    """Adds the folders to search."""
    parser.add_argument("folders", nargs="*", default=["runs"], metavar="RUNS", help="folders with runs; default: runs")


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Adds the folders to search and the baseline."""
    add_run_folders(parser)
    parser.add_argument("--baseline", metavar="CELL", help="the cell that the others are compared with")


def report_command(options: argparse.Namespace) -> str:
    """The command that writes the report of these folders, as a shell reads it."""
    baseline = ["--baseline", options.baseline] if options.baseline else []
    return shlex.join(["gatelab", "report", *options.folders, *baseline, "-o", getattr(options, "output", "report.html")])
