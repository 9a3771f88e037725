"""Arguments that the commands over run directories share."""

import argparse


def add_run_folders(parser: argparse.ArgumentParser) -> None:
    """Adds the folders to search."""
    parser.add_argument("folders", nargs="*", default=["runs"], metavar="RUNS", help="folders with runs; default: runs")


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Adds the folders to search and the baseline."""
    add_run_folders(parser)
    parser.add_argument("--baseline", metavar="CELL", help="the cell that the others are compared with")
