"""The script. A GPU is often lent for minutes, so that it is made to lose nothing.

    python -m gatelab.bench.gpu [--sections accuracy,shapes] [--seconds 470] [--device cuda] [--out FILE]

Each section runs in a process of its own, which is ended when its time is over. What a section has found is in the file after
each of its rows, so that neither a crash of the driver nor a lost machine takes more than the row that was being measured. A
section whose process died begins again behind that row.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gatelab.bench.gpu import accuracy, ceilings, runs, speed, threads, training
from gatelab.bench.gpu.section import Section
from gatelab.errors import unknown
from gatelab.process.output import say
from gatelab.runs.files import read_json, write_json

# In the order of their worth: the last ones are left out where time runs out.
SECTIONS = {
    "accuracy": Section(accuracy.rows, 90, 8),
    "ceilings": Section(ceilings.rows, 20),
    "shapes": Section(speed.shapes, 120),
    "runs": Section(runs.rows, 60),
    "cells": Section(speed.cells, 60),
    "training": Section(training.rows, 50),
    "launches": Section(speed.launches, 40),
    "threads": Section(threads.rows, 90),
    "compiled": Section(speed.compiled, 60),
}

AGAIN = 3  # processes of one section at most
DEAD = 3  # exit status of a process whose device does not answer any more
RUNNING = "was being measured when its process ended"


def main(arguments: list[str]) -> int:
    """Runs the sections and prints what they found; 1 if a row of `accuracy` failed or a section found nothing."""
    options = _parser().parse_args(arguments)
    if options.child:
        return _child(options)
    names = options.sections.split(",") if options.sections else [*SECTIONS]
    for name in names:
        if name not in SECTIONS:
            say(f"bench_gpu: {unknown('section', name, SECTIONS)}", stderr=True)
            return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # as `timeout` ends it; the processes of a section are ended, too
    end = time.monotonic() + options.seconds
    result: dict[str, Any] = _head(options) | {"sections": {}}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            begin, left = time.monotonic(), end - time.monotonic()
            if left < 1:
                result["sections"][name] = {"rows": {}, "ended": "no time was left"}
                continue
            section = SECTIONS[name]
            processes = min(section.processes, max(1, (os.cpu_count() or 1) // 2))
            found = _section(name, min(left, section.seconds * options.scale), processes, options, Path(folder))
            result["sections"][name] = found | {"seconds": time.monotonic() - begin}
            write_json(options.out, result)
            say(_shown(name, result["sections"][name]))
    write_json(options.out, result)
    say(f"Everything is in {options.out}.")
    return 0 if all(_fine(found) for found in result["sections"].values()) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bench_gpu.sh", description="Measures gatelab on a GPU.")
    parser.add_argument("--sections", metavar="NAMES", help="with commas; default: all")
    parser.add_argument("--seconds", type=float, default=470.0, help="for everything; default: 470")
    parser.add_argument("--scale", type=float, default=1.0, help="factor on the time of each section; default: 1")
    parser.add_argument("--device", default=None, help="default: cuda, or cpu without one")
    parser.add_argument("--rounds", type=int, default=5, help="of every comparison; default: 5")
    parser.add_argument("--cells", metavar="NAMES", help="with commas; default: all")
    parser.add_argument("--small", action="store_true", help="a few numbers instead of real shapes, to try the script")
    parser.add_argument("--out", type=Path, default=Path("bench_gpu.json"), help="default: bench_gpu.json")
    parser.add_argument("--child", metavar="SECTION", help=argparse.SUPPRESS)
    return parser


def _device(options: argparse.Namespace) -> str:
    import torch

    return options.device or ("cuda" if torch.cuda.is_available() else "cpu")


def _head(options: argparse.Namespace) -> dict[str, Any]:
    """Where, when and with what."""
    import torch

    from gatelab.training.provenance import machine, versions

    head: dict[str, Any] = {"format": 1, "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "small": options.small}
    head |= {"machine": machine(), "device": _device(options), "rounds": options.rounds}
    found = versions() | {"torch": torch.__version__, "triton": _triton(), "cuda": torch.version.cuda}
    if torch.cuda.is_available():
        gpu = torch.cuda.get_device_properties(0)
        found["cudnn"] = torch.backends.cudnn.version()
        head["gpu"] = {
            "name": gpu.name,
            "capability": f"{gpu.major}.{gpu.minor}",
            "multiprocessors": gpu.multi_processor_count,
            "memory": gpu.total_memory,
        }
    return head | {"versions": found}


def _triton() -> str | None:
    try:
        import triton  # type: ignore[import-not-found]
    except ImportError:
        return None
    return triton.__version__


def _section(name: str, seconds: float, processes: int, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """What the processes of one section leave."""
    shares = [_Share(name, number, processes, options, folder) for number in range(processes)]
    end = time.monotonic() + seconds
    try:
        while sum(share.goes_on() for share in shares) and time.monotonic() < end:  # every one is looked at
            time.sleep(0.05)
    finally:
        for share in shares:
            share.end()
    rows: dict[str, Any] = {}
    for share in shares:
        rows |= share.rows()
    late = any(share.ended is None for share in shares)
    problems = [share.ended for share in shares if share.ended]
    return {"ended": "; ".join(problems) or (f"ended after {seconds:.0f} s" if late else "complete"), "rows": rows}


class _Share:
    """A process that measures a share of the rows of a section, and those that follow it where it dies.

    Attributes:
        ended: why its process has ended; empty if all rows are measured, None before.
    """

    def __init__(self, name: str, number: int, processes: int, options: argparse.Namespace, folder: Path) -> None:
        self._path, self._log = folder / f"{name}-{number}.json", folder / f"{name}-{number}.log"
        self._command = [sys.executable, "-P", "-m", "gatelab.bench.gpu", "--child", f"{name}:{number}:{processes}"]
        self._command += ["--device", _device(options), "--rounds", str(options.rounds), "--out", str(self._path)]
        self._command += ["--small"] if options.small else []
        self._command += ["--cells", options.cells] if options.cells else []
        self.ended: str | None = None
        self._left = AGAIN
        self._start()

    def goes_on(self) -> bool:
        """Whether rows are still being measured."""
        status = self._process.poll()
        if status is not None and self.ended is None:
            if status == 0:
                self.ended = ""
            elif self._left:
                self._start()
            else:
                self.ended = f"a process ended with status {status}: {_last_line(self._log)}"
        return self.ended is None

    def end(self) -> None:
        """Ends the process and those that it started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def rows(self) -> dict[str, Any]:
        """What was found."""
        return read_json(self._path) if self._path.exists() else {}

    def _start(self) -> None:
        self._left -= 1
        with open(self._log, "a") as said:
            self._process = subprocess.Popen(self._command, stdout=said, stderr=said, start_new_session=True)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n")
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "it said nothing")


def _child(options: argparse.Namespace) -> int:
    """Measures the rows of one section that its file does not have yet."""
    import torch

    from gatelab.bench import clock
    from gatelab.bench.gpu.section import Setting
    from gatelab.cells import CELLS

    name, number, processes = options.child.split(":")
    cells = tuple(options.cells.split(",")) if options.cells else tuple(CELLS.names())
    if options.small:
        torch.set_num_threads(1)
    setting = Setting(_device(options), options.small, options.rounds, cells)
    kept: dict[str, Any] = read_json(options.out) if options.out.exists() else {}
    rows = [*SECTIONS[name].rows(setting).items()]
    for name, work in rows[int(number) :: int(processes)]:
        if name in kept:
            continue
        kept[name] = {"refused": RUNNING}
        write_json(options.out, kept)
        try:
            kept[name] = work()
        except Exception as error:
            kept[name] = {"refused": clock.reason(error)}
        write_json(options.out, kept)
        if setting.gpu:
            try:
                torch.cuda.synchronize()
            except RuntimeError as error:  # after an illegal access nothing works any more in this process
                kept[name] = {"refused": clock.reason(error)}
                write_json(options.out, kept)
                return DEAD
    return 0


def _fine(found: Mapping[str, Any]) -> bool:
    return bool(found["rows"]) and all(row.get("passed", True) for row in found["rows"].values())


def _shown(name: str, found: Mapping[str, Any]) -> str:
    lines = [f"== {name}: {len(found['rows'])} rows in {found['seconds']:.0f} s, {found['ended']}"]
    for key, row in found["rows"].items():
        lines.append(f"{key:36s} {_row(row)}")
    return "\n".join(lines)


def _row(row: Mapping[str, Any]) -> str:
    if "refused" in row:
        return f"- {row['refused']}"
    if "errors" in row:
        worst = max(row["errors"].items(), key=lambda item: item[1].get("error", 0.0) / item[1].get("accepted", 1.0))
        counted = sum("error" in one for one in row["errors"].values())
        return f"{'passed' if row['passed'] else 'FAILED'} {counted} comparisons; nearest to its limit: {worst[0]} {worst[1]}"
    parts = [_column(name, column) for name, column in row.get("columns", {}).items()]
    parts += [f"x{key} {value:.2f}" for key, value in row.get("ratios", {}).items()]
    parts += [f"{key} {value}" for key, value in row.items() if key in ("passed", "different", "places") and value != []]
    parts += [f"{key} {value:.4g}" for key, value in row.items() if key not in ("columns", "ratios") and isinstance(value, float)]
    return "  ".join(parts)


def _column(name: str, column: Mapping[str, Any]) -> str:
    if "refused" in column:
        return f"{name}: {column['refused'][:60]}"
    if "kernels" in column:
        return f"{name} {column['kernels']} kernels ({column['a_step']:.1f} a step) {1e3 * column['seconds']:.2f} ms"
    spread = f" (+-{column['spread']:.0%})" if isinstance(column["spread"], float) else ""  # one round has none
    return f"{name} {1e3 * column['seconds']:.3f} ms{spread}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
