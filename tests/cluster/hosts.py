"""Hosts on this machine: processes with a host name of their own, which locks and clusters take for another machine."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any


def on_host(name: str) -> list[str]:
    """What stands in front of a command to run it on a new host of this name; the process id stays that of the command."""
    return ["unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh"]


def kill_host(pid: int) -> None:
    """Kills all processes on the host of this one, as if its power was cut."""
    own = os.readlink(f"/proc/{pid}/ns/uts")
    assert own != os.readlink("/proc/self/ns/uts"), f"process {pid} is on this host"
    while found := [each for each in map(int, filter(str.isdecimal, os.listdir("/proc"))) if _host(each) == own]:
        for each in found:
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        time.sleep(0.1)


def _host(pid: int) -> str | None:
    try:
        dead = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
        return None if dead else os.readlink(f"/proc/{pid}/ns/uts")
    except OSError:
        return None


def until(condition: Callable[[], Any], what: str, seconds: float = 300.0) -> Any:
    """Waits for a condition and returns what it says."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"It was not seen that {what} within {seconds} s."
        time.sleep(0.2)
    return found
