"""Kills random processes of a sweep until it is finished all the same, and compares it with an undisturbed one.

usage: scripts/chaos.sh [--kills 200] [--seed 0] [--pause 2.5] [--out DIR]

The victims: a job, the launcher, all processes of the command at once, the server that jobs are forked from, W&B's service. Each
gets SIGKILL, jobs and launchers now and then SIGTERM or SIGINT instead. The command is then given again, as a user would. A round
is a set of runs; there are as many rounds as the kills need. Ends with 1 if a run was lost, or differs from the undisturbed one in
a metric of any step, a weight, or anything else that its checkpoints hold.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from gatelab.errors import UserError
from gatelab.runs import Run, find_runs, read_run

# Five to ten seconds each, with all that a run carries: dropout, a schedule, early stopping, checkpoints by the clock.
SWEEP = [
    *(
        "cell=lstm,gru",
        "task=adding,copying",
        "task.length=40",
        "model.hidden_size=24",
        "model.dropout=0.2",
        "schedule.name=cosine",
    ),
    *(
        "trainer.max_steps=1200",
        "trainer.val_every=200",
        "trainer.patience=3",
        "machine.checkpoint_seconds=1",
        "logger.media_every=0",
    ),
]
SEEDS = 2  # of a round, so that it has eight runs
# Which share of the kills a process gets, and with what.
VICTIMS = {"job": 14, "launcher": 2, "everything": 2, "server": 1, "W&B": 3}
SIGNALS = {"job": (signal.SIGKILL,) * 3 + (signal.SIGTERM,), "launcher": (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)}
STARTS = 0.05  # how likely a process is killed although nothing has been trained since the last one
PATIENCE_SECONDS = 1800.0  # for one command
ATTEMPTS = 200  # at one round


def main() -> int:
    """Makes the sweeps, prints the table and says whether all is as it should be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="so many processes are killed (default: 200)")
    parser.add_argument("--pause", type=float, default=2.5, help="seconds between two kills, on average (default: 2.5)")
    parser.add_argument("--seed", type=int, default=0, help="of what is killed when (default: 0)")
    parser.add_argument(
        "--out", type=Path, default=None, help="where the runs go (default: a temporary folder, removed at the end)"
    )
    options = parser.parse_args()
    out = options.out or Path(tempfile.mkdtemp(prefix="gatelab-chaos-"))
    chance, kills = random.Random(options.seed), Counter[str]()
    began, rounds, commands = time.monotonic(), 0, 0
    while kills.total() < options.kills:
        commands += disturbed(out / "chaos", rounds, options.kills - kills.total(), options.pause, chance, kills)
        rounds += 1
        print(f"round {rounds}: {kills.total()} kills, {time.monotonic() - began:.0f} s", flush=True)
    calm = ["gatelab", "train", "-m", *SWEEP, f"seed=range({rounds * SEEDS})", f"out={out / 'calm'}", "logger=none", "sweep=calm"]
    subprocess.run(calm, check=True, stderr=subprocess.DEVNULL)
    wrong = report(out, kills, commands, time.monotonic() - began)
    if options.out is None and not wrong:
        shutil.rmtree(out)
    elif wrong:
        print(f"The runs are in {out}.")
    return 1 if wrong else 0


def disturbed(out: Path, number: int, wanted: int, every: float, chance: random.Random, kills: Counter[str]) -> int:
    """One round: gives the command until its runs are finished, killing meanwhile; returns how often it was given."""
    seeds = f"seed=range({number * SEEDS},{(number + 1) * SEEDS})"
    made = -1  # bytes of metrics when the last process was killed
    command = ["gatelab", "train", "-m", *SWEEP, seeds, f"out={out}", "logger.mode=offline", f"sweep=round{number}"]
    out.mkdir(parents=True, exist_ok=True)
    for given in range(1, ATTEMPTS + 1):
        with open(out / "said.txt", "a") as said:
            process = subprocess.Popen(command, stdout=said, stderr=said, start_new_session=True)
        try:
            deadline = time.monotonic() + PATIENCE_SECONDS
            pause = every * chance.uniform(1, 5)  # the first may hit a command that has only begun
            while (status := _wait(process, pause)) is None:
                if time.monotonic() > deadline:
                    _signal_group(process.pid, signal.SIGKILL)
                    raise SystemExit(f"The command did not end within {PATIENCE_SECONDS:.0f} s: {' '.join(command)}")
                pause = every * chance.uniform(0.4, 1.6)
                # Mostly something was trained since, on a slow machine as well; now and then it is the start that is hit.
                metrics = written(out)
                if wanted > 0 and (metrics > made or chance.random() < STARTS) and (victim := kill_one(process.pid, chance)):
                    kills[victim] += 1
                    wanted, made = wanted - 1, metrics
        finally:
            _signal_group(process.pid, signal.SIGKILL)  # there is none left, unless this script is stopped
        if status == 0:
            return given
    raise SystemExit(f"The runs of round {number} were not finished after {ATTEMPTS} commands; see {out / 'said.txt'}.")


def written(out: Path) -> int:
    """Bytes of all metrics: they grow as long as something is trained."""
    return sum(path.stat().st_size for path in out.glob("*/metrics.jsonl"))


def kill_one(launcher: int, chance: random.Random) -> str | None:
    """Ends one of the processes of a command; what it was, None if there was none of the kind drawn."""
    (victim,) = chance.choices([*VICTIMS], [*VICTIMS.values()])
    number = chance.choice(SIGNALS.get(victim, (signal.SIGKILL,)))
    found = [pid for pid, kind in kinds_of(launcher) if kind == victim]
    if victim == "everything":
        return victim if _signal_group(launcher, number) else None
    if not found or not _signal(chance.choice(found), number):
        return None
    return f"{victim}, {number.name}" if number != signal.SIGKILL else victim


def kinds_of(launcher: int) -> Iterator[tuple[int, str]]:
    """The processes of a command's session, by what they are."""
    servers = set()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:  # it has just ended
                continue
            found.append((int(entry.name), int(fields[1]), int(fields[3]), line))
            if "multiprocessing.forkserver" in line and int(fields[1]) == launcher:
                servers.add(int(entry.name))
    jobs = {pid for pid, parent, _, _ in found if parent in servers}
    for pid, parent, session, line in found:
        if pid == launcher:
            yield pid, "launcher"
        elif pid in servers:
            yield pid, "server"
        elif pid in jobs:
            yield pid, "job"
        elif "wandb" in line and (parent in jobs or session == launcher):
            yield pid, "W&B"


def report(out: Path, kills: Counter[str], commands: int, seconds: float) -> int:
    """Prints what was killed and what came of it; returns how many runs are not as they should be."""
    runs, skipped = find_runs([out / "chaos"])
    calm, _ = find_runs([out / "calm"])
    different = {run.path.name: list(differences(run, out / "chaos" / run.path.name)) for run in calm}
    wrong = {name: found for name, found in different.items() if found}
    doubled = Counter(path.name.rpartition("-")[2] for path in (out / "chaos").glob("sweeps/*/wandb/offline-run-*"))
    rows = [
        ("kills", f"{kills.total()}: " + ", ".join(f"{count} {victim}" for victim, count in kills.most_common())),
        ("runs", f"{len(calm)}, {sum(run.state == 'finished' for run in runs)} finished"),
        ("commands", f"{commands}"),
        ("attempts", f"{sum(run.status['attempts'] for run in runs)}, {max(run.status['attempts'] for run in runs)} of one run"),
        ("differences", f"{len(wrong)} runs"),
        ("unreadable", f"{len(skipped)} directories"),
        ("W&B", f"{len(doubled)} runs, {sum(count > 1 for count in doubled.values())} of them twice"),
        ("seconds", f"{seconds:.0f}, the undisturbed sweep included"),
    ]
    for name, value in rows:
        print(f"{name:<12} {value}")
    for name, found in wrong.items():
        print(f"{name}: {'; '.join(found[:5])}")
    return len(wrong) + len(skipped)


def differences(calm: Run, path: Path) -> Iterator[str]:
    """What a run has otherwise than the undisturbed one, in words."""
    try:
        run = read_run(path)
    except UserError as error:
        yield f"it is lost: {error}"
        return
    if run.state != "finished":
        yield f"it is {run.state}: {run.status.get('error')}"
        return
    for what, read in (("metrics", Run.metrics), ("histograms", Run.histograms), ("arrays", Run.arrays)):
        first, second = read(calm), read(run)
        for key in sorted(first.keys() | second.keys()):
            if not key.startswith("time/") and first.get(key) != second.get(key):
                yield f"{what}: {key}"
    for name in ("val", "test", "steps", "best_step", "gates"):
        if calm.summary()[name] != run.summary()[name]:
            yield f"summary: {name}"
    for name in ("best.ckpt", "last.ckpt"):
        first, second = (torch.load(item.path / "checkpoints" / name, weights_only=True) for item in (calm, run))
        for key in ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "gatelab_random", "gatelab_scores"):
            if not same(first.get(key), second.get(key)):
                yield f"{name}: {key}"


def same(first: Any, second: Any) -> bool:
    """Whether two pieces of a checkpoint are equal to the last bit."""
    if isinstance(first, torch.Tensor):
        return isinstance(second, torch.Tensor) and torch.equal(first, second)
    if isinstance(first, dict):
        return isinstance(second, dict) and first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    return first == second


def _wait(process: "subprocess.Popen[bytes]", seconds: float) -> int | None:
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None


def _signal(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _signal_group(pid: int, number: signal.Signals) -> bool:
    return _signal(-pid, number)


if __name__ == "__main__":
    sys.exit(main())
