"""Sweeps seen from outside: what they set out to train, and which of their runs are still at work.

```
<out>/sweeps/<sweep>/plan.json    the runs by name of their directory, and the process that trains them
```
"""

import os
import socket
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gatelab.runs import Run, write_json

# A run notes its progress every second or so while it trains; validation, tests and the compilation of a kernel are silent.
SILENT_SECONDS = 15.0  # from here on a run whose process is gone counts as interrupted
STALE_SECONDS = 600.0  # from here on a run whose process cannot be seen counts as stale


def live_state(run: Run, now: float | None = None) -> str:
    """What a run is doing, as far as its directory and this machine can tell.

    Args:
        now: seconds since the epoch; this moment when None.

    Returns:
        finished, failed, interrupted (stopped, or its process is gone), running, or stale: it says that it is running, but has not
        written for long, and from here one cannot see whether its process is still there.
    """
    if run.state != "running":
        return "interrupted" if run.status.get("cause") == "interrupted" else run.state
    updated = run.status.get("updated")
    silent = (time.time() if now is None else now) - (updated if isinstance(updated, (int, float)) else 0.0)
    if silent > SILENT_SECONDS and not process_alive(run.status):
        return "interrupted"
    return "stale" if silent > STALE_SECONDS else "running"


def process_alive(record: Mapping[str, Any]) -> bool:
    """Whether the process that noted its `pid` and `host` may still be there; what cannot be seen from here may."""
    pid = record.get("pid")
    if record.get("host") != socket.gethostname() or not isinstance(pid, int) or os.name != "posix":
        return True  # elsewhere than on POSIX systems signal 0 would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


@dataclass(frozen=True)
class Planned:
    """A run that a sweep will train, is training or has trained.

    Attributes:
        path: its directory, which need not exist yet.
        alive: whether the process of the sweep may still be there.
    """

    path: Path
    cell: str
    task: str
    alive: bool


def write_plan(jobs: Mapping[Path, Mapping[str, Any]]) -> None:
    """Writes the plan of a sweep; an older one of the same name is replaced.

    Args:
        jobs: run directory -> resolved configuration.
    """
    plans: dict[Path, dict[str, Any]] = defaultdict(dict)
    for path, config in jobs.items():
        plans[path.parent / "sweeps" / config["sweep"] / "plan.json"][path.name] = [config["cell"]["name"], config["task"]["name"]]
    for file, runs in plans.items():
        write_json(file, {"started": time.time(), "pid": os.getpid(), "host": socket.gethostname(), "runs": runs})


def read_plans(folders: Iterable[Path]) -> list[Planned]:
    """The runs of all plans below `<folder>/sweeps`; a plan that cannot be read has none, since no result depends on it."""
    planned: dict[Path, Planned] = {}
    for folder in folders:
        for file in sorted(folder.glob("sweeps/*/plan.json")):
            try:
                plan = orjson.loads(file.read_bytes())
                alive = process_alive(plan)
                runs = {
                    folder / name: (str(cell), str(task)) for name, (cell, task) in plan["runs"].items() if Path(name).name == name
                }
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
            for path, (cell, task) in runs.items():
                before = planned.get(path)
                planned[path] = Planned(path, cell, task, alive or (before is not None and before.alive))
    return list(planned.values())
