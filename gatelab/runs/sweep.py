"""Sweeps seen from outside: which runs they plan to train, and which of these are still being trained.

```
<out>/sweeps/<sweep>/plan.json    {"runs": {name of the directory: {"cell", "task", "overrides"}},
                                   "commands": [{"arguments", "plugins", "folder", "started", "host", "pid", ...}]}
```

A plan only grows: a second command of the same sweep adds itself and its runs.
"""

import contextlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gatelab.errors import UserError
from gatelab.process.identity import process_alive, this_process
from gatelab.runs.files import NewerFormatError, is_folder_name, read_formatted, with_format, write_json
from gatelab.runs.lock import RunBusyError, RunLock
from gatelab.runs.run import Run, read_run

STALE_SECONDS = 120.0  # without a heartbeat, until a run on another machine counts as stale
_PATIENCE_SECONDS = 30.0  # to wait for another command that is adding to the same plan
_TRY_SECONDS = 0.05


def live_state(run: Run, now: float | None = None) -> str:
    """The state of a run, as far as its directory and this machine can tell.

    Args:
        now: seconds since the epoch; this moment when None.

    Returns:
        One of `runs.STATES`; but a running run may also be interrupted (its process is gone) or stale: its process is on another
        machine, and its last heartbeat is long ago, or far in the future after a clock was changed.
    """
    if run.state != "running":
        return run.state
    if not process_alive(run.status):
        return "interrupted"
    updated = run.status.get("updated")
    silent = (time.time() if now is None else now) - (updated if isinstance(updated, (int, float)) else 0.0)
    return "stale" if abs(silent) > STALE_SECONDS else "running"


@dataclass(frozen=True)
class Planned:
    """A run that a sweep will train, is training or has trained.

    Attributes:
        path: its directory, which need not exist yet.
        alive: whether the process of the sweep may still be there.
        overrides: of this run, as `gatelab train` takes them.
    """

    path: Path
    cell: str
    task: str
    alive: bool
    overrides: list[str] = field(default_factory=list)


def write_plan(
    jobs: Mapping[Path, Mapping[str, Any]],
    overrides: Mapping[Path, Sequence[str]] | None = None,
    arguments: Sequence[str] = (),
    plugins: Mapping[str, str] | None = None,
) -> None:
    """Adds what a sweep is about to train to its plan.

    Args:
        jobs: run directory -> resolved configuration.
        overrides: run directory -> the overrides of that run alone.
        arguments: of the command, as `gatelab train` takes them.
        plugins: digests of the plugins that it names, by path.
    """
    overrides = overrides or {}
    plans: dict[Path, dict[str, Any]] = {}
    for path, config in jobs.items():
        entry = {"cell": config["cell"]["name"], "task": config["task"]["name"], "overrides": list(overrides.get(path, ()))}
        plans.setdefault(path.parent / "sweeps" / config["sweep"], {})[path.name] = entry
    command = {"arguments": list(arguments), "plugins": dict(plugins or {}), "folder": str(Path.cwd())}
    command |= {"started": time.time(), **this_process()}
    for folder, runs in plans.items():
        folder.mkdir(parents=True, exist_ok=True)
        with _patiently_locked(folder):
            before = _read_plan(folder / "plan.json")
            # The same command again, and its process has ended: once is enough.
            others = [old for old in before["commands"] if process_alive(old) or _given(old) != _given(command)]
            write_json(folder / "plan.json", with_format({"commands": [*others, command], "runs": before["runs"] | runs}))


def commands(folder: Path) -> list[dict[str, Any]]:
    """The commands of a sweep, each once: its `arguments` and the `folder` it was called in.

    Args:
        folder: `<out>/sweeps/<sweep>`.

    Raises:
        UserError: there is no plan, or it cannot be read.
    """
    file = folder / "plan.json"
    plan = _read_plan(file)
    read_formatted(file)
    found = [command for command in plan["commands"] if command.get("arguments")]
    for command in found:
        if not isinstance(command.get("folder"), str) or not command["folder"]:
            raise UserError(f"{file} is damaged: the folder of a command is not a string. Repeat the command instead.")
    return list({_given(command): command for command in found}.values())


def read_plans(folders: Iterable[Path]) -> list[Planned]:
    """The runs of all plans below `<folder>/sweeps`; a plan that cannot be read has none, since no result depends on it."""
    planned: dict[Path, Planned] = {}
    for folder in folders:
        for file in sorted(folder.glob("sweeps/*/plan.json")):
            for one in read_plan(file.parent):
                before = planned.get(one.path)
                alive = one.alive or (before is not None and before.alive)
                planned[one.path] = Planned(one.path, one.cell, one.task, alive, one.overrides)
    return list(planned.values())


def read_plan(folder: Path) -> list[Planned]:
    """The runs of one plan.

    Args:
        folder: `<out>/sweeps/<sweep>`.
    """
    found = _read_plan(folder / "plan.json")
    alive = any(process_alive(command) for command in found["commands"])
    out = folder.parent.parent
    return [Planned(out / name, entry["cell"], entry["task"], alive, entry["overrides"]) for name, entry in found["runs"].items()]


def failed_runs(folder: Path) -> list[Run]:
    """The runs of a sweep that failed.

    Args:
        folder: `<out>/sweeps/<sweep>`.
    """
    found = []
    for planned in read_plan(folder):
        with contextlib.suppress(UserError):  # not begun
            found.append(read_run(planned.path))
    return [run for run in found if run.state == "failed"]


def _read_plan(file: Path) -> dict[str, Any]:
    """A plan, checked: entries that cannot be read are left out."""
    try:
        found = read_formatted(file)
    except NewerFormatError as error:
        raise UserError(f"{file.parent}: {error}.") from error
    except UserError:
        found = {}
    runs, commands = found.get("runs"), found.get("commands")
    kept: dict[str, dict[str, Any]] = {}
    for name, entry in runs.items() if isinstance(runs, dict) else ():
        if not is_folder_name(name):
            continue
        if isinstance(entry, dict) and isinstance(entry.get("cell"), str) and isinstance(entry.get("task"), str):
            given = entry.get("overrides")
            entry["overrides"] = list(map(str, given)) if isinstance(given, list) else []
            kept[name] = entry
    commands = [command for command in commands if isinstance(command, dict)] if isinstance(commands, list) else []
    return {"commands": commands, "runs": kept}


def _given(command: Mapping[str, Any]) -> str:
    return json.dumps([command.get("folder"), command.get("arguments")])


def _patiently_locked(folder: Path) -> RunLock:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return RunLock(folder)
        except RunBusyError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_TRY_SECONDS)
