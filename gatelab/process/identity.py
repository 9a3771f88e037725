"""Which process this is, so that another one can find out whether it is still there."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def this_process() -> dict[str, Any]:
    """What others need to find out whether this process is still there."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "began": _began(os.getpid()), "boot": _boot()}


def process_alive(record: Mapping[str, Any]) -> bool:
    """Whether the process that `this_process` described may still be there; what cannot be seen from here may."""
    pid = record.get("pid")
    if not same_machine(record) or not isinstance(pid, int) or os.name != "posix":
        return True  # elsewhere than on POSIX systems signal 0 would end it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it belongs to another user
        pass
    began = _began(pid)
    return began is None or (began > 0 and record.get("began") in (None, began))


def same_machine(record: Mapping[str, Any]) -> bool:
    """Whether its process numbers are ours. Hosts may share a name, and containers on one host have numbers of their own."""
    return record.get("host") == socket.gethostname() and record.get("boot") in (None, _boot())


def _boot() -> str | None:
    """This start of this kernel, and the namespace of process numbers in it; None where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + f"/{os.stat('/proc/self/ns/pid').st_ino}"
    except OSError:
        return None


def _began(pid: int) -> int | None:
    """When a process began, in ticks since the system did; 0 if only its entry is left; None where the system does not say."""
    try:
        # The name of the program, in brackets, may hold anything; behind it stand the state and, 19 further, the time.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return 0 if fields[0] in "ZX" else int(fields[19])
    except (OSError, IndexError, ValueError):
        return None
