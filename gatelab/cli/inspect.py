"""`gatelab inspect`: a trained model from the inside, printed and added to its run directory."""

from collections.abc import Sequence

from gatelab.analysis.reading.inspected import print_inspected
from gatelab.errors import UserError
from gatelab.process.console import Console
from gatelab.process.output import say_json
from gatelab.runs import find_runs
from gatelab.runs.folders import run_folders
from gatelab.tasks import Split
from gatelab.training.inspection import inspect

NOTHING = "–"


def run(folders: Sequence[str], out: str | None, checkpoint: str, split: Split, sequences: int, trust: bool, format: str) -> int:
    """Inspects every run and prints a page for each."""
    runs, skipped = find_runs(run_folders(folders, out))
    if not runs:
        reasons = "; ".join(f"{item.path}: {item.reason}" for item in skipped)
        raise UserError(f"inspect: there is no run in {', '.join(folders)}{f' ({reasons})' if reasons else ''}.")
    made = [(one, inspect(one, checkpoint, split, sequences, trust)) for one in runs]
    if format == "json":
        say_json([{"run": str(one.path), **found} for one, found in made])
        return 0
    for one, found in made:
        print_inspected(Console(), one, found)
    return 0
