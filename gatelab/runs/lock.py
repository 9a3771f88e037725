"""The lock of a directory: one process at a time works in it, on any host, and a dead one loses the lock.

```
<directory>/lock-<n>    host and process of the n-th holder; its time of change is the holder's heartbeat
```

The file of the highest number names the holder. A process that finds the lock free (`{"free": true}`) or its holder dead creates
the next file by a hard link, which only one process can do: a process that looked at the predecessor of a living lock
cannot take that lock away. flock is not used: several shared file systems lack it, or do not share it between hosts.

A holder on this machine is dead when its process is gone, or began at another time: its number may have been given to another
process. A holder on another machine shows only its heartbeat. The clock of the file system gives the age of that, against a
file written at this moment, and the lock is broken only if the next heartbeats are missing as well: a clock that is wrong, or is
set while runs are being trained, breaks no lock.
"""

import contextlib
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gatelab.errors import UserError
from gatelab.process.identity import process_alive, same_machine, this_process
from gatelab.runs.files import new_file

HEARTBEAT_SECONDS = 5.0
LOCK_SILENT_SECONDS = 60.0  # without a heartbeat, until a holder on another machine counts as dead
_FREE = {"free": True}


class RunBusyError(UserError):
    """Another living process is training this run."""


class RunLock:
    """The lock of a directory, taken at once and held until `release`, with a heartbeat from a separate thread.

    Args:
        directory: it must exist.
        beat: called from that thread at every heartbeat; what it raises is ignored.

    Attributes:
        lost: whether another process took this one for dead and took the lock: this one must no longer write there.

    Raises:
        RunBusyError: a living process holds it.
        OSError: the directory cannot be written to.
    """

    def __init__(self, directory: Path, beat: Callable[[], object] | None = None) -> None:
        self.directory, self._beat = directory, beat
        self.lost = False
        self._pid = os.getpid()
        self._path = _take(directory)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._live, name="heartbeat", daemon=True)
        self._thread.start()

    def release(self) -> None:
        """Frees the lock; a second call does nothing."""
        if self._stop.is_set() or os.getpid() != self._pid:  # a forked child holds nothing
            return
        self._stop.set()
        if self._thread is not threading.current_thread():
            self._thread.join()
        with contextlib.suppress(OSError):
            if not self._superseded():
                _free(self._path)

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _live(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                self.lost = self._superseded()
                if self.lost:
                    return
                os.utime(self._path)  # no explicit time: the file system's clock
            except OSError:  # the file server does not answer for a moment
                continue
            if self._beat is not None:
                with contextlib.suppress(Exception):
                    self._beat()

    def _superseded(self) -> bool:
        return _latest(self.directory) != self._path


def holder(directory: Path) -> dict[str, Any] | None:
    """The holder of a directory's lock, unless it is known to be dead; None if it is free. Writes nothing and does not wait."""
    latest = _latest(directory)
    record = None if latest is None else _read(latest)
    return None if record is None or record.get("free") or not process_alive(record) else record


def _take(directory: Path) -> Path:
    """Makes the next lock file.

    Raises:
        RunBusyError, OSError: as `RunLock`.
    """
    while True:
        latest = _latest(directory)
        record = None if latest is None else _read(latest)
        if latest is not None and record is not None and not record.get("free") and not _dead(latest, record):
            where = f"process {record.get('pid', '?')} on {record.get('host', 'some host')}"
            raise RunBusyError(f"{directory} is being trained by another process ({where}). Wait for it, or stop it first.")
        own = directory / f"lock-{1 if latest is None else _lock_number(latest) + 1}"
        try:
            _write(own, this_process(), _link)
        except FileExistsError:  # another process was faster
            continue
        if _latest(directory) != own:  # others were much faster: this number was used and removed again
            own.unlink(missing_ok=True)
            continue
        for path in directory.glob("lock-*"):
            if 0 < _lock_number(path) < _lock_number(own):
                path.unlink(missing_ok=True)
        return own


def _latest(directory: Path) -> Path | None:
    numbered = [path for path in directory.glob("lock-*") if _lock_number(path)]
    return max(numbered, key=_lock_number, default=None)


def _lock_number(path: Path) -> int:
    number = path.name.removeprefix("lock-")
    return int(number) if number.isdecimal() else 0


def _read(path: Path) -> dict[str, Any] | None:
    """The record of a lock; None if it has just been removed. A record that cannot be read has an unknown holder."""
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _dead(path: Path, record: Mapping[str, Any]) -> bool:
    if not process_alive(record):
        return True
    if record and same_machine(record) and os.name == "posix":
        return False
    heard = _heard(path)
    if heard is None or 0 <= heard[1] <= LOCK_SILENT_SECONDS:
        return heard is None
    # It looks silent, but the clock of the file system may have been changed. A living holder gives another heartbeat.
    time.sleep(2 * HEARTBEAT_SECONDS)
    again = _heard(path)
    return again is None or again[0] == heard[0]


def _heard(path: Path) -> tuple[int, float] | None:
    """When the last heartbeat was, in nanoseconds, and how many seconds ago; None if the lock is gone."""
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=".lock.") as now:
        try:
            beat = path.stat().st_mtime_ns
        except FileNotFoundError:
            return None
        return beat, (os.stat(now.name).st_mtime_ns - beat) / 1e9


def _write(path: Path, record: Mapping[str, Any], put: Callable[[Path, Path], object]) -> None:
    """Writes a record to a temporary name, which `put` then moves into place: it is never seen half-written."""
    handle, name = new_file(path.parent, ".lock.")
    try:
        with os.fdopen(handle, "w") as file:
            file.write(json.dumps(record) + "\n")
        put(name, path)
    finally:
        name.unlink(missing_ok=True)


def _free(path: Path) -> None:
    try:
        _write(path, _FREE, os.replace)
    except OSError:  # on a full disk: over the old record
        with open(path, "r+") as file:
            file.write(json.dumps(_FREE) + "\n")
            file.truncate()


def _link(source: Path, path: Path) -> None:
    try:
        os.link(source, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        with open(path, "x") as file:
            file.write(source.read_text())
