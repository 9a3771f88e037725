"""How much memory this process can use."""

import contextlib
import os
from pathlib import Path


def available_bytes() -> int:
    """Memory that is available without swapping, within the limits of this process's control groups."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pages = os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", ()) else 2**20
        free = pages * 4096 // 2
    return min([free, *_left_in_groups()])


def total_bytes() -> int:
    """Memory of this machine, or what the control groups of this process allow, if that is less."""
    pages = os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", ()) else 2**22
    return min([pages * 4096, *_limits_of_groups()])


def _limits_of_groups() -> list[int]:
    found = []
    for group in _groups():
        with contextlib.suppress(OSError, ValueError):
            found.append(int((group / "memory.max").read_text()))  # "max" means no limit
    return found


def _left_in_groups() -> list[int]:
    """Bytes left below the limits of the control groups (version 2) that this process is in; files in the cache count as free."""
    found = []
    for group in _groups():
        with contextlib.suppress(OSError, ValueError):
            limit = int((group / "memory.max").read_text())  # "max" means no limit
            kept = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            found.append(limit - int((group / "memory.current").read_text()) + int(kept.get("inactive_file", 0)))
    return [max(0, left) for left in found]


def _groups() -> set[Path]:
    """The control groups (version 2) of this process, where it has any."""
    with contextlib.suppress(OSError):
        own = next((line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")), "/")
        root = Path("/sys/fs/cgroup")
        return {root, root / own.strip("/")}
    return set()
