"""`gatelab calibrate`: what the statistics of a comparison promise, simulated."""

import json

from gatelab.analysis.calibration.checks import Cell, measure
from gatelab.analysis.calibration.terminal import plain, print_calibration
from gatelab.process.console import Console
from gatelab.process.output import say

QUICK = 50  # repetitions


def run(repetitions: int, jobs: int, quick: bool, format: str) -> int:
    """Prints the table."""
    count = min(repetitions, QUICK) if quick else repetitions
    cells: list[Cell] = [cell for part in measure(count, jobs) for cell in part]
    if format == "json":
        say(json.dumps({"repetitions": count, "cells": plain(cells)}, indent=1, allow_nan=False))
    else:
        print_calibration(cells, count, Console())
    return 0
