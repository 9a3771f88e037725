"""How far the runs of a sweep have come, and how long the rest will take."""

import contextlib
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from gatelab.errors import UserError
from gatelab.runs import Run, Skipped, find_runs, read_run
from gatelab.runs.files import float_or_none, int_or_none
from gatelab.runs.sweep import Planned, live_state, read_plan, read_plans

# In the order of printing. Done runs need no further work; diverged ones are among them.
STATES = ("done", "running", "queued", "stale", "interrupted", "preempted", "not begun", "pruned", "diverged", "failed")
_SHOWN = {"finished": "done"}
_STEPS_FOR_A_RATE = 10  # before them it is the start of the process that is measured


@dataclass(frozen=True)
class Standing:
    """One run as it stands.

    Attributes:
        state: one of STATES. A queued run has not begun, but the process of its sweep may still be there. A preempted one was
            stopped and noted it, an interrupted one could not.
        step, max_steps: optimiser steps; None while it has not begun.
        steps_per_second: of this process, validation included; None before the first steps.
        seconds: wall time that it took (done) or has taken, of all processes that worked at it.
        seconds_left: of a running one.
        reason: of a failed, diverged, preempted, interrupted or stale one; `look`: where there is more.
    """

    path: Path
    cell: str
    task: str
    state: str
    step: int | None = None
    max_steps: int | None = None
    steps_per_second: float | None = None
    seconds: float | None = None
    seconds_left: float | None = None
    reason: str = ""
    look: str = ""


@dataclass(frozen=True)
class Overview:
    """All runs under some folders.

    Attributes:
        runs: in the order of their paths; `skipped`: directories that cannot be read.
        counts: by state, those that occur, in the order of STATES.
        seconds_left: until the running and the queued ones are done, if as many are trained at once as now; None if unknown.
    """

    runs: list[Standing]
    skipped: list[Skipped]
    counts: dict[str, int]
    seconds_left: float | None


def overview(folders: Iterable[str | Path], now: float | None = None) -> Overview:
    """Reads where the runs stand.

    Args:
        folders: as for `find_runs`; of a folder with the plan of a sweep, the runs of that plan.
        now: seconds since the epoch; this moment when None.

    Raises:
        UserError: a folder does not exist.
    """
    now = time.time() if now is None else now
    folders = [Path(folder) for folder in folders]
    sweeps = [folder for folder in folders if (folder / "plan.json").is_file()]
    others = [folder for folder in folders if folder not in sweeps]
    planned = {plan.path: plan for folder in sweeps for plan in read_plan(folder)}
    runs, skipped = find_runs([*others, *(path for path in planned if path.is_dir())])
    standings = {run.path: _standing(run, now) for run in runs}
    if others:
        planned |= {plan.path: plan for plan in read_plans({*others, *(path.parent for path in standings)})}
    waiting = {path: _waiting(plan) for path, plan in planned.items()}
    standings |= {path: item for path, item in waiting.items() if path not in standings or standings[path].state == "queued"}
    ordered = [standings[path] for path in sorted(standings, key=str)]
    counts = Counter(item.state for item in ordered)
    return Overview(
        runs=ordered,
        # What is planned is about to be written.
        skipped=[item for item in skipped if not any(item.path in (path, *path.parents) for path in planned)],
        counts={state: counts[state] for state in STATES if counts[state]},
        seconds_left=_seconds_left(ordered),
    )


def _standing(run: Run, now: float) -> Standing:
    live = live_state(run, now)
    if live == "interrupted":  # or it has ended since its status was read: what it wrote last is there now
        with contextlib.suppress(UserError):
            run = read_run(run.path)
            live = live_state(run, now)
    status = run.status
    damage = run.damage()
    if damage is not None:
        live = "interrupted"
    state = "diverged" if run.diverged else _SHOWN.get(live, live)
    started, updated = (float_or_none(status.get(key)) for key in ("started", "updated"))
    step, last, first = (int_or_none(status.get(key)) for key in ("step", "max_steps", "from_step"))
    seconds = float_or_none(status.get("wall_seconds"))
    here = seconds - (float_or_none(status.get("from_seconds")) or 0.0) if seconds is not None else None
    if seconds is None and started is not None and updated is not None:  # of an earlier version
        seconds = here = updated - started
    made = step - first if step is not None and first is not None else 0
    rate = made / here if here and made >= _STEPS_FOR_A_RATE else None
    left = None
    if state == "running" and rate and last is not None and step is not None and updated is not None:
        left = max(0.0, (last - step) / rate - max(0.0, now - updated))
    reason, look = "", ""
    if state == "stale":
        reason = f"no sign of life for {duration(now - (updated or 0.0))}; process {status.get('pid')} on {status.get('host')}"
    elif damage is not None:
        reason = f"{damage.rstrip('.')}; the same command completes it from the last checkpoint"
    elif state == "interrupted":
        reason = f"its process {status.get('pid')} is gone; the same command resumes from the last checkpoint"
    elif state in ("failed", "diverged", "preempted"):
        reason = " ".join(str(status.get("error", "no error was recorded")).split()).rstrip(".")
    if reason:
        look = str(run.path / "status.json" if status.get("traceback") else run.path)
    return Standing(run.path, run.cell, run.task, state, step, last, rate, seconds, left, reason, look)


def _waiting(plan: Planned) -> Standing:
    if plan.alive:
        return Standing(plan.path, plan.cell, plan.task, "queued")
    return Standing(plan.path, plan.cell, plan.task, "not begun", reason="its sweep is gone; the same command trains it")


def _seconds_left(runs: Sequence[Standing]) -> float | None:
    """The longest of the running ones, or all the work there is shared by as many as run now, whichever is more."""
    running = [item for item in runs if item.state == "running"]
    queued = [item for item in runs if item.state == "queued"]
    if not running and not queued:
        return None
    left = [item.seconds_left for item in running] + [_expected_seconds(item, runs) for item in queued]
    known = [value for value in left if value is not None]
    if len(known) < len(left):
        return None
    return max(sum(known) / max(1, len(running)), *known)


def _expected_seconds(queued: Standing, runs: Sequence[Standing]) -> float | None:
    """What a run of this kind took, as near as there is one: of the same cell and task, the same task, any; done, then running."""
    for state in ("done", "running"):
        took = [(item, _whole_seconds(item)) for item in runs if item.state == state]
        for same in (lambda item: (item.task, item.cell), lambda item: item.task, lambda _: True):
            found = [seconds for item, seconds in took if seconds is not None and same(item) == same(queued)]
            if found:
                return fmean(found)
    return None


def _whole_seconds(item: Standing) -> float | None:
    """How long the run takes, or took if it is done, from its first step to its last at its own speed."""
    steps = item.step if item.state == "done" else item.max_steps
    if steps is not None and item.steps_per_second:
        return steps / item.steps_per_second
    return item.seconds


def duration(seconds: float) -> str:
    """A time in the two units that matter: "45 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"."""
    whole = max(0, round(seconds))
    for size, unit, part, name in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {name}" if rest else "")
    return f"{whole} s"
