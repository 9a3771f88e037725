"""`gatelab calibrate`: what the statistics of a comparison promise, simulated."""

import json
from pathlib import Path

from gatelab.analysis.calibration.cells import Cell
from gatelab.analysis.calibration.checks import SEED, measure
from gatelab.analysis.calibration.terminal import markdown, plain, print_calibration, verdict
from gatelab.cli.arguments import output_file
from gatelab.process.console import Console
from gatelab.process.output import say
from gatelab.runs.files import replacing

QUICK = 50  # repetitions


def run(repetitions: int, jobs: int, part: str, quick: bool, save: Path | None, format: str) -> int:
    """Prints the table."""
    path = None if save is None else output_file(save, "--save")
    count = min(repetitions, QUICK) if quick else repetitions
    cells: list[Cell] = [cell for part in measure(count, jobs, part) for cell in part]
    if format == "json":
        found = {"repetitions": count, "seed": SEED, "verdict": verdict(cells, count), "cells": plain(cells)}
        say(json.dumps(found, indent=1, allow_nan=False))
    else:
        print_calibration(cells, count, Console())
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as temporary:
            temporary.write_text(markdown(cells, count), "utf-8")
    return 0
