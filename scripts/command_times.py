"""Seconds of every command, of one checkout or of two in turn: processor time, and in brackets the clock.

    python scripts/command_times.py [OTHER_CHECKOUT] [--rounds N]

Processor time says the same on a busy machine; the clock is what a user waits. The commands run in a temporary folder with two
short runs. Medians of the rounds; the checkouts alternate within each round.

At the end: from the start of `train` to its first optimiser step, in processor seconds of all processes of the command until then.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
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
STARTS = ("train task.length=5 trainer.max_steps=3 logger=none", "train -m task.length=5 trainer.max_steps=3 seed=0,1 logger=none")
# A file that Python imports first in every process: it notes the time at the first step of an optimiser.
NOTE = """
import importlib.util, os, sys, time

def seconds():
    total, own = 0, os.getsid(0)
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            fields = open(f"/proc/{number}/stat").read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == own:
            total += sum(map(int, fields[11:15]))
    return total / os.sysconf("SC_CLK_TCK")

def stepped(*_):
    hook.remove()
    with open(os.environ["FIRST_STEP"], "a") as file:
        file.write(f"{seconds()} {time.time()}\\n")

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != "torch.optim.optimizer":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        def exec_module(module):
            global hook
            load(module)
            hook = module.register_optimizer_step_post_hook(stepped)
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""


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
            taken: dict[Path, list[tuple[float, float]]] = {checkout: [] for checkout in checkouts}
            for _ in range(options.rounds):
                for checkout in checkouts:
                    subprocess.run(["rm", "-rf", f"{folder}/other"], check=True)
                    taken[checkout].append(seconds(checkout, command, folder))
            print(medians(taken), command, flush=True)
        for command in STARTS:
            started: dict[Path, list[tuple[float, float]]] = {checkout: [] for checkout in checkouts}
            for _ in range(options.rounds):
                for checkout in checkouts:
                    started[checkout].append(first_step(checkout, command))
            print(medians(started), f"first step of {command}", flush=True)


def medians(taken: dict[Path, list[tuple[float, float]]]) -> str:
    """Processor seconds and those of the clock, for each checkout."""
    pairs = ([statistics.median(values) for values in zip(*of, strict=True)] for of in taken.values())
    return "".join(f"{computed:6.2f} {f'({clock:.2f})':>8}  " for computed, clock in pairs)


def seconds(checkout: Path, command: str, folder: str) -> tuple[float, float]:
    """Processor seconds of a command and all its processes, and seconds of the clock."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "gatelab", *command.split()],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(checkout), "PYTHONSAFEPATH": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    after, end = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, end - start


def first_step(checkout: Path, command: str) -> tuple[float, float]:
    """Processor seconds of a command and all its processes until its first optimiser step, and seconds of the clock."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(NOTE)
        noted = Path(folder, "noted")
        start = time.time()
        subprocess.run(
            [sys.executable, "-m", "gatelab", *command.split(), f"out={folder}/runs"],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": f"{checkout}:{folder}", "PYTHONSAFEPATH": "1", "FIRST_STEP": str(noted)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        computed, at = map(float, noted.read_text().splitlines()[0].split())
        return computed, at - start


if __name__ == "__main__":
    main()
