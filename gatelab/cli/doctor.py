"""`gatelab doctor`: what is here, what is missing and how to get it."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import entry_points

from rich.table import Table
from rich.text import Text

from gatelab.cells import CELLS
from gatelab.cli.kernels import amount
from gatelab.kernels import BACKEND_NAMES
from gatelab.kernels.allocator import keep_memory
from gatelab.kernels.cpu import build
from gatelab.process.console import Console
from gatelab.process.output import say_json
from gatelab.sweeps.jobs.conf import conf_folder
from gatelab.tasks import TASKS, data_status
from gatelab.training.provenance import cpu_name, gpu_name, versions
from gatelab.training.wandb.account import wandb_offline

Row = tuple[str, str, str]  # what, how it is, what to do


def run(format: str) -> int:
    """Prints a table; nothing is downloaded or changed.

    Returns:
        0, or 1 if a package that gatelab needs is absent.
    """
    found = versions()
    rows = [*_versions(found), *_machine(), *_kernels(), *_data(), _wandb(found["wandb"]), *_plugins()]
    if format == "json":
        say_json([{"what": what, "state": state, "advice": advice or None} for what, state, advice in rows])
    else:
        _print(rows)
    return 1 if "absent" in found.values() else 0


def _print(rows: Sequence[Row]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for _ in range(2):
        table.add_column(overflow="fold")
    for what, state, advice in rows:
        table.add_row(what, state)
        if advice:
            table.add_row("", Text(advice, "yellow"))
    Console().print(table)


def _versions(found: dict[str, str]) -> list[Row]:
    return [(name, version, f"pip install {name}" if version == "absent" else "") for name, version in found.items()]


def _machine() -> list[Row]:
    refused = keep_memory()  # of this process alone, which ends soon
    gpu = gpu_name()
    return [
        ("processor", f"{cpu_name()}, {os.cpu_count()} cores", ""),
        ("GPU", gpu or "none", "" if gpu else "not needed; runs use the CPU"),
        ("vector units", ", ".join(_vector_units()) or "none known", ""),
        ("backends", ", ".join(BACKEND_NAMES), ""),
        ("allocator", "the system's" if refused else "keeps freed memory for the next step", refused or ""),
        ("configuration", str(conf_folder()), ""),
    ]


def _vector_units() -> list[str]:
    if platform.machine() in ("aarch64", "arm64"):
        return ["neon"]  # part of the architecture
    known = build.cpu_features().lower().split()
    return [name for name in ("avx2", "fma", "avx512f", "neon") if name in known]


def _kernels() -> list[Row]:
    """Compiler, a trial of it, and the cache; without a compiler the time loop is eager."""
    path = build.compiler()
    version, trial, advice = path or "none", "failed", ""
    try:
        version = f"{path} ({build.compiler_version(path)})" if path else "none"
        trial = f"compiled and loaded in {build.trial():.2f} s"
    except build.BuildError as error:
        advice = f"{error} Until then runs use the slower eager loop."
    found, problem = build.entries(), build.cache_problem()
    total = amount(len(found), sum(entry.size for entry in found))
    state = f"{build.cache_folder()}: {total}, {'not used' if problem else 'writable and safe'}"
    return [
        ("C compiler", version, ""),
        ("trial kernel", trial, advice),
        ("kernel cache", state, f"each process compiles for itself: {problem}" if problem else ""),
    ]


def _data() -> list[Row]:
    advice = {
        "present": "",
        "missing": "downloaded when a task first needs it; offline: set GATELAB_DATA_MIRROR to a folder that holds it",
        "damaged": "delete it; it is downloaded again when a task needs it",
    }
    return [("data", f"{item.state}: {item.path}", advice[item.state]) for item in data_status()]


def _wandb(version: str) -> Row:
    if version == "absent":
        return ("W&B", "absent", "runs keep their own metrics; for W&B: pip install wandb")
    if wandb_offline("auto"):
        return ("W&B", "offline", "for online: wandb login; to upload later: wandb sync <out>/sweeps/<sweep>/wandb/offline-run-*")
    return ("W&B", "online", "")


def _plugins() -> list[Row]:
    rows = []
    for registry in (CELLS, TASKS):
        names = [point.name for point in entry_points(group=registry.package)]
        rows.append((f"installed {registry.kind}s", ", ".join(names) or "none", ""))
    return rows
