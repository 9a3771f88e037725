"""The identity of this process, by which another one can find out whether it is still alive."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """What another process needs to find out whether this one is still alive."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "began": _began(os.getpid()), "boot": _boot()}


def process_alive(record: Mapping[str, Any]) -> bool:
    """Whether the process that `this_process` described may be alive; True if that cannot be seen from here."""
    pid = record.get("pid")
    if not same_machine(record) or not isinstance(pid, int) or os.name != "posix":
        return True  # on other systems signal 0 would end the process
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it belongs to another user
        pass
    began = _began(pid)
    return began is None or (began > 0 and record.get("began") in (None, began))


def same_machine(record: Mapping[str, Any]) -> bool:
    """Whether the record has our process numbers. Hosts may share a name, and containers on one host have separate numbers."""
    return record.get("host") == socket.gethostname() and record.get("boot") in (None, _boot())


def _boot() -> str | None:
    """The current boot of the kernel and the PID namespace of this process; None where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + f"/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return None


def _began(pid: int) -> int | None:
    """When a process began, in ticks since the system booted; 0 if it is a zombie; None where the system does not tell."""
    try:
        # The name of the program, in brackets, may contain anything. After it comes the state and, 19 fields later, the time.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return 0 if fields[0] in "ZX" else int(fields[19])
    except (OSError, IndexError, ValueError):
        return None
