"""Arguments that the commands over run directories share."""

import argparse
import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from gatelab.output import say
from gatelab.registry import UserError
from gatelab.runs import Run
from gatelab.training.trained import changed_since


def add_run_folders(parser: argparse.ArgumentParser) -> None:
    """Adds the folders to search."""
    parser.add_argument("folders", nargs="*", default=["runs"], metavar="RUNS", help="folders with runs; default: runs")


def sweep_folder(given: str) -> Path:
    """The folder of a sweep, `<out>/sweeps/<name>`, from its path or, below `runs`, its name.

    Raises:
        UserError: there is no such sweep.
    """
    if (Path(given) / "plan.json").is_file():
        return Path(given)
    there = sorted(path.parent.name for path in Path("runs").glob("sweeps/*/plan.json"))
    if given in there:
        return Path("runs") / "sweeps" / given
    near = f" Below runs there are: {', '.join(there[-10:])}." if there else ""
    raise UserError(f"There is no sweep '{given}'.{near} Give its name, or its folder, as in runs/sweeps/<name>.")


def add_folders(parser: argparse.ArgumentParser) -> None:
    """Adds the folders to search and the baseline."""
    add_run_folders(parser)
    parser.add_argument("--baseline", metavar="CELL", help="the cell that the others are compared with")


def say_changed(runs: Iterable[Run]) -> None:
    """Names on stderr the plugins that are no longer what these runs were trained with; the results stay what they are."""
    for path, count in changed_since(runs).items():
        what = "has changed since" if os.path.exists(path) else "is gone, and"
        whose = "one of these runs was" if count == 1 else f"{count} of these runs were"
        say(f"'{path}' {what} {whose} trained with it.", stderr=True)


def report_command(options: argparse.Namespace) -> str:
    """The command that writes the report of these folders, as a shell reads it."""
    baseline = ["--baseline", options.baseline] if options.baseline else []
    return shlex.join(["gatelab", "report", *options.folders, *baseline, "-o", getattr(options, "output", "report.html")])
