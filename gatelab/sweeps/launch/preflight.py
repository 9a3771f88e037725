"""Checks what a command is about to do, before its first run begins."""

import dataclasses
import os
import shutil
import socket
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from urllib.parse import urlsplit

from rich.filesize import decimal

from gatelab.analysis.reading.status import duration
from gatelab.errors import UserError
from gatelab.runs import read_run
from gatelab.runs.files import check_writable
from gatelab.runs.lock import holder
from gatelab.runs.matched import Matched, matched_sentences
from gatelab.sweeps.contracts import Launcher
from gatelab.sweeps.jobs.compose import Job
from gatelab.sweeps.jobs.needs import Needs, room
from gatelab.sweeps.jobs.pace import paced
from gatelab.sweeps.jobs.resources import SECONDS_A_RUN, kind_of, needs_of
from gatelab.training import failures
from gatelab.training.wandb.account import wandb_key, wandb_offline

REASONS = 10  # reasons why runs are left alone that are printed
RUNS_READ = 2000  # runs in the folder that are read for the times of their kind
WANDB_SECONDS = 5.0  # to wait for an answer of its server


@dataclass(frozen=True)
class Preflight:
    """What is ahead.

    Attributes:
        counts: the number of runs by what is to be done with them, in the order of printing.
        seconds: the time until all are done, with `at_once` at a time; `measured`: the number of similar runs that it is based on.
        disk, free: bytes needed and available; `memory`: bytes of the largest run.
        at_once: runs that are trained at the same time; None: not on this machine.
        matched: sentences on hidden sizes that follow from another cell (`model.match`).
        left_alone: a sentence for each run that failed before and is not tried again.
        warnings: sentences on things that will not fail, but are worth knowing.
    """

    counts: Mapping[str, int]
    seconds: float
    measured: int
    disk: int
    free: int
    memory: int
    at_once: int | None
    matched: Sequence[str]
    left_alone: Sequence[str]
    warnings: Sequence[str]

    @property
    def runs_finished(self) -> int:
        """The number of runs that need nothing."""
        return self.counts.get(FINISHED, 0)

    def lines(self) -> list[str]:
        """Lines for the terminal."""
        total = sum(self.counts.values())
        told = ", ".join(f"{count:,} {what}" for what, count in self.counts.items())
        lines = [f"{total:,} {'run' if total == 1 else 'runs'}: {told}."]
        lines += self.left_alone[:REASONS]
        if len(self.left_alone) > REASONS:
            lines.append(f"... and {len(self.left_alone) - REASONS:,} more; `gatelab status` lists all.")
        if any(what not in NOTHING_TO_DO for what in self.counts):
            basis = f"from {self.measured:,} like them here" if self.measured else "a guess from their operations"
            work = f"About {duration(self.seconds)}" if self.at_once else f"About {duration(self.seconds)} of one core"
            once = f", {self.at_once} at once" if self.at_once else ""
            memory = f"{decimal(self.memory)} of memory each"
            lines.append(f"{work} ({basis}){once}, {memory}; {decimal(self.disk)} on disk ({decimal(self.free)} free).")
        return [*lines, *self.matched, *self.warnings]

    def scaled(self, runs: int, at_once: int) -> "Preflight":
        """The preflight of a search over this number of runs, each like those that were checked.

        Raises:
            UserError: the disk is too small for them.
        """
        each = max(1, sum(self.counts.values()))
        disk = round(self.disk * runs / each)
        if disk > self.free:
            raise UserError(f"{runs:,} runs need about {decimal(disk)} on disk, but only {decimal(self.free)} are free.")
        at_once = min(self.at_once or at_once, at_once)
        seconds = self.seconds * (self.at_once or 1) * runs / each / max(1, min(at_once, runs))
        return dataclasses.replace(self, counts={NEW: runs}, seconds=seconds, disk=disk, at_once=at_once, left_alone=())


FINISHED = "already finished"
ELSEWHERE = "being trained by another process"
RETRIED = "failed before and tried again"
LEFT = "failed before and left alone"
PRUNED = "ended early by a search and left alone"
RESUMING = "resuming from a checkpoint"
NEW = "to train"
NOTHING_TO_DO = (FINISHED, ELSEWHERE, LEFT, PRUNED)


def preflight(jobs: Sequence[Job], launcher: Launcher) -> Preflight:
    """Checks everything that would fail later.

    Args:
        jobs: composed and checked.
        launcher: the launcher that will train them.

    Raises:
        UserError: the folder cannot be written to, its disk is too small, or W&B cannot be used.
    """
    unique = list({job.path: job for job in jobs}.values())
    folder = check_writable(unique[0].path.parent).absolute()
    left_alone: list[str] = []
    states = {job.path: _state(job.path, job.config.machine.retry, launcher, left_alone) for job in paced(unique, "Looked at")}
    counts = Counter(states.values())
    ahead = [job for job in unique if states[job.path] not in NOTHING_TO_DO]
    needs = {job.path: needs_of(job.config, launcher.here) for job in paced(ahead, "Estimated")}
    disk, free = sum(item.disk for item in needs.values()), shutil.disk_usage(folder).free
    if disk > free:
        raise UserError(
            f"{len(ahead):,} runs need about {decimal(disk)} on disk, but '{folder}' has only {decimal(free)} left. "
            "Free some, or give another folder, as in out=/path/to/runs."
        )
    if ahead:
        _check_wandb(ahead)
    at_once = launcher.at_once([*needs.values()])
    seconds, measured = _time(ahead, needs)
    largest = max((item.memory for item in needs.values()), default=0)
    return Preflight(
        counts={what: counts[what] for what in (FINISHED, ELSEWHERE, RESUMING, RETRIED, LEFT, PRUNED, NEW) if counts[what]},
        seconds=seconds / (at_once or 1),
        measured=measured,
        disk=disk,
        free=free,
        memory=largest,
        at_once=at_once,
        matched=_matched(ahead, needs),
        left_alone=left_alone,
        warnings=_warnings(largest, at_once),
    )


def _matched(ahead: Sequence[Job], needs: Mapping[Path, Needs]) -> list[str]:
    """By task, whose inputs and outputs decide a size, too."""
    sizes: dict[str, list[tuple[str, Matched]]] = {}
    for job in ahead:
        if (found := needs[job.path].matched) is not None:
            sizes.setdefault(job.config.task["name"], []).append((job.config.cell["name"], found))
    return [sentence for task, of_task in sizes.items() for sentence in matched_sentences(of_task, f" on {task}")]


def _state(path: Path, retry: str, launcher: Launcher, left_alone: list[str]) -> str:
    """What is to be done with a run; adds the reason to `left_alone` if it failed and is not tried again."""
    try:
        run = read_run(path)
    except UserError:
        return NEW
    if run.outcome == "finished":
        return FINISHED
    if run.state == "pruned" and launcher.leaves_pruned:
        return PRUNED
    if run.state == "running" and holder(path) is not None:
        return ELSEWHERE
    if run.state == "failed":
        reason = failures.left_alone(run, retry)
        left_alone += [reason] if reason else []
        return LEFT if reason else RETRIED
    return RESUMING if (path / "checkpoints" / "last.ckpt").exists() else NEW


def _check_wandb(jobs: Iterable[Job]) -> None:
    if all(job.config.logger.name != "wandb" or wandb_offline(job.config.logger.mode) for job in jobs):
        return
    remedy = "Use logger.mode=offline now and `wandb sync` later."
    if not wandb_key():
        raise UserError(f"logger.mode is online, but there is no key for W&B. Call `wandb login`. {remedy}")
    address = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
    host, port = address.hostname or "", address.port or (80 if address.scheme == "http" else 443)
    try:
        socket.create_connection((host, port), timeout=WANDB_SECONDS).close()
    except OSError as error:
        raise UserError(f"W&B cannot be reached at {host}:{port} ({error}). {remedy}") from error


def _time(ahead: Sequence[Job], needs: Mapping[Path, Needs]) -> tuple[float, int]:
    """The seconds of all runs one after another, and the number of measured runs that the estimate is based on."""
    kinds = {job.path: kind_of(job.config.plain()) for job in ahead}
    wanted = {*kinds.values()}
    took: dict[str, list[float]] = {}
    for folder in {job.path.parent for job in ahead}:
        for summary in islice(folder.glob("*/summary.json"), RUNS_READ):
            kind, seconds = _seconds_a_step(summary.parent)
            if kind in wanted:
                took.setdefault(kind, []).append(seconds)
    total = 0.0
    for job in ahead:
        found, steps = took.get(kinds[job.path]), job.config.trainer.max_steps
        left = max(0.0, 1 - _begun(job.path) / steps)
        total += left * (SECONDS_A_RUN + fmean(found) * steps if found else needs[job.path].seconds)
    return total, sum(map(len, took.values()))


def _seconds_a_step(path: Path) -> tuple[str, float]:
    """The kind of a finished run, and its seconds per optimiser step, everything included."""
    try:
        run = read_run(path)
        summary = run.summary()
        return kind_of(run.config), float(summary["wall_seconds"]) / max(1, summary["steps"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):  # it cannot be read, or has other contents
        return "", 0.0


def _begun(path: Path) -> int:
    try:
        return read_run(path).step if (path / "checkpoints" / "last.ckpt").exists() else 0
    except UserError:
        return 0


def _warnings(largest: int, at_once: int | None) -> list[str]:
    there = room()
    if at_once is not None and at_once * largest > there.memory:
        return [
            f"Warning: {at_once} at once may need {decimal(at_once * largest)} of memory, but {decimal(there.memory)} are free. "
            "A run that does not fit is killed; the others continue."
        ]
    return []
