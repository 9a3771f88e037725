"""Seconds of processor time of every command, of one checkout or of two in turn.

    python scripts/command_times.py [OTHER_CHECKOUT] [--rounds N]

Processor time, and not that of the clock, because it says the same on a busy machine. The commands run in a temporary folder with
two short runs. Medians of the rounds; the checkouts alternate within each round.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

COMMANDS = (
    "--help",
    "trian",
    "train --help",
    "list --help",
    "list cells",
    "list tasks",
    "status",
    "compare",
    "explain cell=lstm",
    "doctor",
    "kernels list",
    "kernels show lstm",
    "reproduce --list",
    "train --dry-run",
    "train trainer.max_steps=1 task.length=5 logger=none out=other",
    "train -m trainer.max_steps=1 task.length=5 seed=0,1 logger=none out=other",
)


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("other", nargs="?", type=Path, help="another checkout, measured before this one in each round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    here = Path(__file__).parents[1]
    checkouts = [here] if options.other is None else [options.other.resolve(), here]
    with tempfile.TemporaryDirectory() as folder:
        seconds(here, "train -m seed=0,1 trainer.max_steps=5 task.length=5 logger=none", folder)
        for command in COMMANDS:
            taken: dict[Path, list[float]] = {checkout: [] for checkout in checkouts}
            for _ in range(options.rounds):
                for checkout in checkouts:
                    subprocess.run(["rm", "-rf", f"{folder}/other"], check=True)
                    taken[checkout].append(seconds(checkout, command, folder))
            print("  ".join(f"{statistics.median(values):6.2f}" for values in taken.values()), f" {command}", flush=True)


def seconds(checkout: Path, command: str, folder: str) -> float:
    """Processor seconds of a command and all its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-m", "gatelab", *command.split()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
