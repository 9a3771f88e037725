"""`gatelab resume`: goes on with a sweep, by the commands that it was begun with."""

import argparse
import os
from pathlib import Path

from gatelab.cli.folders import sweep_folder
from gatelab.cli.train import train
from gatelab.output import say
from gatelab.registry import UserError
from gatelab.sweeps import commands, failed_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sweep, and whether to try again what failed."""
    parser.add_argument("sweep", metavar="SWEEP", help="its name, or its folder, runs/sweeps/<name>")
    parser.add_argument("--failed", action="store_true", help="also train again what failed, from its last good checkpoint")


def run(options: argparse.Namespace) -> int:
    """Repeats every command of the sweep where it was given: what is finished is skipped, and what was cut off goes on.

    Returns:
        The exit status: 0, or 1 if a run failed, now or before.
    """
    folder = sweep_folder(options.sweep).absolute()
    found = commands(folder)
    if not found:
        raise UserError(f"{folder / 'plan.json'} knows no command; it is of an earlier version. Repeat the command instead.")
    if not options.failed and failed_runs(folder):
        say("What failed before is left alone (machine.retry=none); --failed trains it again.", stderr=True)
    worst = 0
    for command in found:
        given = [*command["arguments"], f"machine.retry={'all' if options.failed else 'none'}"]
        if Path(command["folder"]).is_dir():
            os.chdir(command["folder"])  # what it names is relative to there
        else:  # it was moved, with what belongs to it or not
            given.append(f"out={folder.parent.parent}")
        worst = max(worst, train(given))
    return worst
