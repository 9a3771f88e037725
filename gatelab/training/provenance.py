"""The provenance of a result: versions, commit, data, machine."""

import functools
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gatelab.kernels.cpu.compiler import BuildError, compiler, compiler_version
from gatelab.registry.plugins import Plugin

if TYPE_CHECKING:
    from gatelab.kernels import Served

PACKAGES = ("gatelab", "torch", "lightning", "hydra-core", "omegaconf", "wandb", "numpy", "scipy", "scikit-learn")


def versions() -> dict[str, str]:
    """Installed versions of packages that affect a result; "absent" if a package is not installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "absent"
    return found


def provenance(
    data_hashes: Mapping[str, str],
    plugins: Mapping[str, Plugin],
    processes: int = 1,
    served: "Served | None" = None,
    device: str = "cpu",
    left_out: Sequence[str] = (),
) -> dict[str, Any]:
    """What a reader needs to get the same numbers again.

    Args:
        data_hashes: SHA-256 by data file.
        plugins: the user's files that the run uses, by role.
        processes: the number of processes that train the run together.
        served: the backend of the time loop, and why an earlier one was skipped.
        device: the device of the run. A GPU that it does not use is irrelevant, and asking for its name would start CUDA.
        left_out: options of the cell that its identity leaves out.
    """
    import torch  # in functions: `gatelab doctor` reads versions alone

    backend = {} if served is None else {"backend": served.backend, "passed_over": served.passed_over or None}
    return backend | {
        "versions": versions(),
        "git": git_state(Path.cwd()),
        "data_sha256": dict(data_hashes),
        "plugins": {role: {"path": str(plugin.path), "sha256": plugin.digest} for role, plugin in plugins.items()},
        "left_out": {"cell": list(left_out)},
        "command": sys.argv,
        **machine(device == "cuda"),
        "compiler": compiler_name(),
        "threads": torch.get_num_threads(),
        "processes": processes,
    }


# What determines the last bits of a result.
_BITS = ("backend", "threads", "processes", "cpu", "gpu", "compiler", "versions.torch", "versions.numpy", "versions.gatelab")


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What determines the last bits and has changed since the run began: "threads: 1 before, 2 now"."""
    said = []
    for key in _BITS:
        old, new = (_look_up(origin, key) for origin in (before, now))
        if old is not None and old != new:
            why = f" ({now['passed_over'].rstrip('.')})" if key == "backend" and now.get("passed_over") else ""
            said.append(f"{key.rpartition('.')[2]}: {old} before, {new or 'none'} now{why}")
    return said


def _look_up(origin: Mapping[str, Any], key: str) -> Any:
    group, _, name = key.rpartition(".")
    within = origin.get(group) if group else origin
    return within.get(name) if isinstance(within, Mapping) else None


def machine(gpu: bool = True) -> dict[str, Any]:
    """Processor, GPU (None if it is not requested) and system."""
    return {
        "cpu": cpu_name(),
        "cores": os.cpu_count(),
        "gpu": gpu_name() if gpu else None,
        "platform": platform.platform(),
    }


# What a driver puts into /dev: NVIDIA's, that of its boards (Jetson), that of Windows (WSL), AMD's.
_GPU_FILES = ("nvidia*", "nvhost*", "nvmap", "dxg", "kfd")


def gpu_name() -> str | None:
    """The GPU that torch would use; None if there is none, which a look into /dev tells without torch."""
    if sys.platform == "linux" and not any(path for pattern in _GPU_FILES for path in Path("/dev").glob(pattern)):
        return None
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else None


def git_state(folder: Path) -> dict[str, Any] | None:
    """Commit and whether tracked files differ from it; None outside a repository or without git."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "changed": bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    # The folder may belong to another user: its setting for watching files names a program.
    command = ["git", "-C", str(folder), "-c", "core.fsmonitor=false", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


@functools.cache
def compiler_name() -> str | None:
    """The C compiler of the kernels; None without one, which leaves the eager loop."""
    program = compiler()
    try:
        return program and compiler_version(program)
    except BuildError:
        return None


def cpu_name() -> str:
    """The processor as the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
