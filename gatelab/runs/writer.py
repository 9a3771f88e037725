"""Writes a run directory before, while and after the run is trained. `gatelab.runs` lists its contents."""

import contextlib
import math
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from gatelab.errors import UserError
from gatelab.process.identity import this_process
from gatelab.runs.files import (
    Lines,
    NewerFormatError,
    check_writable,
    disk_is_full,
    float_or_none,
    full_disk,
    int_or_none,
    overwrite_json,
    read_formatted,
    replacing,
    with_format,
    write_json,
    write_new_json,
)
from gatelab.runs.lock import HEARTBEAT_SECONDS, RunBusyError, RunLock, holder

STATES = ("queued", "preempted", "running", "pruned", "failed", "finished")  # in the order in which a run passes them

_ENDS = ("finished", "pruned", "failed", "preempted")
_MOMENT_SECONDS = 0.5
_SHORT = 2000  # the most characters of a traceback that are written on a full disk
# The temporary files that a killed process leaves behind.
_LEFTOVERS = (
    ".status.json.*",
    ".config.json.*",
    ".provenance.json.*",
    ".summary.json.*",
    ".*.jsonl.*",
    "checkpoints/.*.ckpt.*",
    "plugins/**/.*.py.*",
)


class Writer(Protocol):
    """What a process that trains a run reports; `RunWriter` records it, `SilentWriter` does not."""

    path: Path

    def start(
        self,
        config: Mapping[str, Any],
        provenance: Mapping[str, Any],
        run_id: str,
        launcher: str | None = None,
        threads: int = 1,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        """The run begins."""
        ...

    @property
    def wall_seconds(self) -> float:
        """Seconds of work at the run."""
        ...

    def progress(self, step: int) -> None:
        """An optimiser step was made."""
        ...

    def append(self, file: str, record: Mapping[str, Any]) -> None:
        """A record for one of the run's files."""
        ...

    def finish(self, summary: Mapping[str, Any], step: int) -> None:
        """The run is finished."""
        ...

    def fail(self, error: str, trace: str, checkpoint: str | None, cause: str = "error") -> None:
        """The run failed."""
        ...

    def preempt(self, reason: str) -> None:
        """The run was stopped from outside."""
        ...

    def prune(self, reason: str) -> None:
        """The run was ended early by a search."""
        ...

    def close(self) -> None:
        """The process ends its work at the run."""
        ...


class RunWriter:
    """Writes one run directory and holds its lock while it does.

    Args:
        path: the run directory; created when missing.

    Raises:
        RunBusyError: another process is training this run.
        UserError: the directory cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        check_writable(path)
        self._status: dict[str, Any] = {}
        self._writing = threading.RLock()  # the heartbeat thread writes the status, too
        self._begun, self._written = time.monotonic(), -math.inf
        self._files: dict[str, Lines] = {}
        self._beginning: list[str] = []
        try:
            path.mkdir(parents=True, exist_ok=True)
            self._lock = self._locked()
        except OSError as error:
            with contextlib.suppress(OSError):
                path.rmdir()  # unless it is not empty
            if not disk_is_full(error):
                raise
            raise UserError(full_disk(error)) from error

    def _locked(self) -> RunLock:
        try:
            return RunLock(self.path, self._beat)
        except RunBusyError:  # perhaps by a launcher that notes how the run ended, which takes a moment
            time.sleep(_MOMENT_SECONDS)
            return RunLock(self.path, self._beat)

    def start(
        self,
        config: Mapping[str, Any],
        provenance: Mapping[str, Any],
        run_id: str,
        launcher: str | None = None,
        threads: int = 1,
        files: Mapping[str, bytes] | None = None,
    ) -> None:
        """Records what is about to be computed and marks the run as running.

        Args:
            launcher: the launcher that started this process, in a sweep.
            threads: the number of torch's threads.
            files: further files to keep, by path within the run directory.
        """
        for pattern in _LEFTOVERS:  # left by a process that was killed while it wrote
            for file in self.path.glob(pattern):
                file.unlink(missing_ok=True)
        try:
            before = read_formatted(self.path / "status.json")
        except UserError:
            before = {}
        seconds = float_or_none(before.get("wall_seconds")) or 0.0
        self._status = {
            "state": "running",
            "id": run_id,
            "step": 0,
            "max_steps": config["trainer"]["max_steps"],
            "started": time.time(),
            **this_process(),
            "attempts": (int_or_none(before.get("attempts")) or 0) + 1,
            "wall_seconds": seconds,
            "from_seconds": seconds,
            "launcher": launcher,
            "threads": threads,
        }
        self._begun = time.monotonic()
        self._beginning = ["config.json", "provenance.json", *(files or ())]
        write_json(self.path / "config.json", with_format(config))
        write_json(self.path / "provenance.json", with_format(provenance))
        for name, content in (files or {}).items():
            with replacing(self.path / name) as temporary:
                temporary.write_bytes(content)
        self._write_status()

    @property
    def wall_seconds(self) -> float:
        """Seconds of all processes that have worked at this run; a killed one counts up to its last heartbeat."""
        return self._status["from_seconds"] + time.monotonic() - self._begun

    def progress(self, step: int) -> None:
        """Notes how far the run has come, in optimiser steps; written about once a second.

        Raises:
            RunBusyError: this process was taken for dead, and another one continues the run.
        """
        if self._lock.lost:
            raise RunBusyError(f"{self.path} was taken over by another process because this one gave no heartbeat.")
        self._status["step"] = step
        if "from_step" not in self._status:
            with self._writing:
                self._status["from_step"] = step - 1
        if time.monotonic() - self._written > 1:
            self._write_status()

    def finish(self, summary: Mapping[str, Any], step: int) -> None:
        """Marks the run as finished, with its results."""
        write_json(self.path / "summary.json", with_format(summary))
        self._end({"state": "finished", "step": step})

    def fail(self, error: str, trace: str, checkpoint: str | None, cause: str = "error") -> None:
        """Marks the run as failed.

        Args:
            error: one sentence.
            trace: the traceback.
            checkpoint: the last good checkpoint, if there is one.
            cause: "diverged" (a loss or score that is not finite), "memory", "disk" or "error"; "killed" is `mark`'s.
        """
        self._end({"state": "failed", "cause": cause, "error": error, "traceback": trace, "checkpoint": checkpoint})

    def preempt(self, reason: str) -> None:
        """Marks the run as stopped from outside: it can resume from its last checkpoint."""
        self._end({"state": "preempted", "error": reason})

    def prune(self, reason: str) -> None:
        """Marks the run as ended early by a search: it has no result, and it can resume from its last checkpoint."""
        self._end({"state": "pruned", "error": reason})

    def append(self, file: str, record: Mapping[str, Any]) -> None:
        """Appends one line and hands it to the operating system, so that it survives a kill."""
        if file not in self._files:
            self._files[file] = Lines(self.path / file)
        self._files[file].append(record)

    def close(self) -> None:
        """Closes the files and releases the lock."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._lock.release()

    def _end(self, values: Mapping[str, Any]) -> None:
        if self._lock.lost or not self._status:
            return
        with self._writing:
            self._status |= values
        try:
            self._write_status()
        except OSError:
            self._status["traceback"] = self._status.get("traceback", "")[-_SHORT:]
            try:
                overwrite_json(self.path / "status.json", with_format(self._status))
            except FileNotFoundError:  # the disk was full before the run began: such a directory is of no use
                for name in self._beginning:
                    (self.path / name).unlink(missing_ok=True)

    def _beat(self) -> None:
        if self._status and time.monotonic() - self._written > HEARTBEAT_SECONDS / 2:
            self._write_status()

    def _write_status(self) -> None:
        with self._writing:
            self._status |= {"updated": time.time(), "wall_seconds": self.wall_seconds}
            write_json(self.path / "status.json", with_format(self._status))
            self._written = time.monotonic()


class SilentWriter:
    """The writer of the other processes of a team, which record nothing."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begun = time.monotonic()

    @property
    def wall_seconds(self) -> float:
        """Seconds since this process began."""
        return time.monotonic() - self._begun

    def _ignore(self, *_: Any, **__: Any) -> None:
        """Replaces every method that would write."""

    start = progress = append = finish = fail = preempt = prune = close = _ignore


def enqueue(path: Path, config: Mapping[str, Any], run_id: str, launcher: str | None = None) -> bool:
    """Notes that a run is to be trained. A run that has a status is left alone.

    Returns:
        Whether this call queued it.
    """
    if (path / "status.json").exists():
        return False
    path.mkdir(parents=True, exist_ok=True)
    write_new_json(path / "config.json", with_format(config))
    status = {"state": "queued", "id": run_id, "step": 0, "max_steps": config["trainer"]["max_steps"], "started": None}
    status |= {"updated": time.time(), "attempts": 0, "wall_seconds": 0.0, "launcher": launcher}
    return write_new_json(path / "status.json", with_format(status))


def mark(path: Path, state: str, error: str, cause: str = "killed") -> bool:
    """Notes how a run ended whose process could not: it was killed, ran out of memory, or its node was lost.

    A run that a living process is training or that has ended by itself is left alone. On a full disk the old status is
    overwritten.

    Args:
        state: "failed" or "preempted"; error: one sentence; cause: the cause of a failure, "killed" or "memory".

    Returns:
        Whether the status was written.
    """
    if not path.is_dir():
        return False
    change = {"state": state, "error": error} | ({"cause": cause} if state == "failed" else {})
    try:
        with RunLock(path):
            return _change_status(path, change, write_json)
    except RunBusyError:
        return False
    except OSError as full:
        if not disk_is_full(full) or holder(path) is not None:
            raise
        return _change_status(path, change, overwrite_json)


def _change_status(path: Path, change: Mapping[str, Any], write: Callable[[Path, Any], object]) -> bool:
    try:
        status = read_formatted(path / "status.json")
    except NewerFormatError:
        return False
    except UserError:
        status = {"step": 0}
    if status.get("state") in _ENDS:
        return False
    with contextlib.suppress(FileNotFoundError):  # on a full disk, where there was none
        write(path / "status.json", with_format({**status, **change}))
        return True
    return False
