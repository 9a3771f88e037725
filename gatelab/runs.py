"""The run directory: identity, contents, reading, writing. The only interface between training and analysis.

```
<out>/<cell>-<task>-s<seed>-<id>/
    config.json        the resolved configuration
    status.json        state (running, finished, failed), step, times; of a failed run cause, error and the last good checkpoint
    metrics.jsonl      one line per record: {"step": 50, "val/nll": 8.9, ...}; append-only
    histograms.jsonl   one line per record: {"step": 50, "gate/0/forget": [count, ...]}; equal bins over [0, 1]
    arrays.jsonl       one line per record: {"step": 50, "timescale/0/units": [number, ...]}; four significant digits
    inspect.json       what `gatelab inspect` found of the trained model
    summary.json       what `compare` needs of a finished run
    provenance.json    versions, git commit, data and plugin hashes, CPU, GPU
    checkpoints/       best.ckpt, last.ckpt
    train.log .hydra/  the run's own log and what Hydra composed it from
```

A later record of the same step wins: a run that went on from a checkpoint repeats the steps behind it.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from gatelab.registry import UserError

try:
    import fcntl
except ImportError:  # no file locks on this system: two processes on one run are then not noticed
    fcntl = None

# Where and how a run happens; everything else is what it computes.
NOT_IDENTITY = ("machine", "logger", "out", "sweep", "plugins")


def identity(config: Mapping[str, Any], plugin_hashes: Iterable[str] = ()) -> str:
    """The run id: ten hexadecimal digits of the SHA-256 of the configuration without machine settings.

    Args:
        config: the resolved configuration, plain containers.
        plugin_hashes: SHA-256 of the user's own files: other equations are another run.
    """
    kept: dict[str, Any] = {key: value for key, value in config.items() if key not in NOT_IDENTITY}
    hashes = sorted(plugin_hashes)
    if hashes:
        kept["plugins"] = hashes
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:10]


def run_name(config: Mapping[str, Any], run_id: str) -> str:
    """The name of a run directory, readable and unique: `lstm-adding-s0-1f2e3d4c5b`."""
    return f"{config['cell']['name']}-{config['task']['name']}-s{config['seed']}-{run_id}"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name to write to, renamed at the end: a reader sees the old file or the new one, never a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)
        raise


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file as `replacing` does."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(_plain(value), indent=1, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    """JSON has no nan and no infinity: they are written as strings that `float` reads."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value


class RunWriter:
    """Writes one run directory and holds its lock while it does.

    Args:
        path: the run directory; made when missing.

    Raises:
        UserError: another process is training this run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._lock = open(path / "lock", "a+")  # noqa: SIM115 - held until close()
        if fcntl is not None:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                self._lock.close()
                raise UserError(f"{path} is being trained by another process. Wait for it, or stop it first.") from error
        self._files: dict[str, Any] = {}
        self._status: dict[str, Any] = {}

    def start(self, config: Mapping[str, Any], provenance: Mapping[str, Any], run_id: str) -> None:
        """Records what is about to be computed and marks the run as running."""
        write_json(self.path / "config.json", config)
        write_json(self.path / "provenance.json", provenance)
        self._status = {
            "state": "running",
            "id": run_id,
            "step": 0,
            "max_steps": config["trainer"]["max_steps"],
            "started": time.time(),
            "pid": os.getpid(),
            "host": socket.gethostname(),
        }
        self._write_status()

    def progress(self, step: int) -> None:
        """Notes how far the run has come, in optimiser steps; written about once a second."""
        self._status["step"] = step
        self._status.setdefault("from_step", step - 1)
        if time.time() - self._status["updated"] > 1:
            self._write_status()

    def finish(self, summary: Mapping[str, Any], step: int) -> None:
        """Marks the run as finished, with its results."""
        write_json(self.path / "summary.json", summary)
        self._status |= {"state": "finished", "step": step}
        self._write_status()

    def fail(self, error: str, trace: str, checkpoint: str | None, cause: str = "error") -> None:
        """Marks the run as failed.

        Args:
            error: one sentence.
            trace: the traceback.
            checkpoint: the last good checkpoint, if there is one.
            cause: "diverged" (a loss or score that is not finite), "interrupted" (Ctrl-C, a signal) or "error".
        """
        self._status |= {"state": "failed", "cause": cause, "error": error, "traceback": trace, "checkpoint": checkpoint}
        self._write_status()

    def append(self, file: str, record: Mapping[str, Any]) -> None:
        """Appends one line and hands it to the operating system, so that it survives a kill."""
        if file not in self._files:
            self._files[file] = _open_to_append(self.path / file)
        self._files[file].write(json.dumps(_plain(record), allow_nan=False) + "\n")
        self._files[file].flush()

    def close(self) -> None:
        """Closes the files and gives the lock back."""
        for file in self._files.values():
            file.close()
        self._files.clear()
        self._lock.close()

    def _write_status(self) -> None:
        self._status["updated"] = time.time()
        write_json(self.path / "status.json", self._status)


def _open_to_append(path: Path) -> Any:
    """Opens for appending; half a line left by a kill is cut off first."""
    if path.exists():
        with open(path, "rb+") as file:
            data = file.read()
            if data and not data.endswith(b"\n"):
                file.truncate(data.rfind(b"\n") + 1)
    return open(path, "a")


@dataclass(frozen=True)
class Run:
    """One run directory, read."""

    path: Path
    config: dict[str, Any]
    status: dict[str, Any]

    @property
    def state(self) -> str:
        """running, finished or failed."""
        return self.status["state"]

    @property
    def diverged(self) -> bool:
        """Whether it ended because its loss or score was not finite: a result, if a bad one, where other failures are none."""
        return self.state == "failed" and self.status.get("cause") == "diverged"

    @property
    def cell(self) -> str:
        return self.config["cell"]["name"]

    @property
    def task(self) -> str:
        return self.config["task"]["name"]

    @property
    def seed(self) -> int:
        return self.config["seed"]

    def summary(self) -> dict[str, Any]:
        """The results of a finished run."""
        return _read_json(self.path / "summary.json")

    def metrics(self, *families: str) -> dict[str, tuple[list[int], list[float]]]:
        """Every metric as (steps, values), in the order of the steps.

        Args:
            families: lines without a key of these families ("val", "grad") are left unread; none given, all are read.
        """
        series: dict[str, dict[int, float]] = {}
        for record in _records(self.path / "metrics.jsonl", families):
            step = record.pop("step")
            for key, value in record.items():
                try:
                    series[key][step] = float(value)
                except KeyError:
                    series[key] = {step: float(value)}
        return {key: _sorted_columns(values) for key, values in series.items()}

    def histograms(self) -> dict[str, tuple[list[int], list[list[int]]]]:
        """Every histogram as (steps, counts)."""
        return _columns(_records(self.path / "histograms.jsonl"))

    def last_histograms(self) -> dict[str, list[int]]:
        """The counts of the last record; to read all of them takes as long as to read the metrics."""
        return _last(self.path / "histograms.jsonl")

    def arrays(self, *families: str) -> dict[str, tuple[list[int], list[list[float]]]]:
        """Every array-valued record as (steps, arrays).

        Args:
            families: as for `metrics`.
        """
        found = _columns(_records(self.path / "arrays.jsonl", families))
        return {key: (steps, [list(map(float, row)) for row in rows]) for key, (steps, rows) in found.items()}

    def last_arrays(self) -> dict[str, list[float]]:
        """The arrays of the last record."""
        return {key: list(map(float, row)) for key, row in _last(self.path / "arrays.jsonl").items()}

    def inspections(self) -> dict[str, dict[str, Any]]:
        """What `gatelab inspect` found, by checkpoint and split ("best/test"); empty if it was not called."""
        path = self.path / "inspect.json"
        return _read_json(path) if path.exists() else {}


@dataclass(frozen=True)
class Skipped:
    """A directory that cannot be read as a run, and why."""

    path: Path
    reason: str


def read_run(path: Path) -> Run:
    """Reads one run directory.

    Raises:
        UserError: it is half-written or damaged; the message says which file and why.
    """
    config, status = _read_json(path / "config.json"), _read_json(path / "status.json")
    try:
        run = Run(path, config, status)
        if run.state not in ("running", "finished", "failed"):
            raise UserError(f"status.json: unknown state '{run.state}'")
        if not (isinstance(run.cell, str) and isinstance(run.task, str) and isinstance(run.seed, int)):
            raise UserError("config.json: cell, task or seed has the wrong type")
    except (KeyError, TypeError) as error:
        raise UserError(f"config.json or status.json lacks {error}") from error
    return run


def find_runs(folders: Iterable[str | Path]) -> tuple[list[Run], list[Skipped]]:
    """All runs under the folders, and the directories among them that cannot be read.

    A folder may be a run itself or hold runs, directly or deeper. A folder given, or directly below one given, in which there
    is no run at all is named as foreign.

    Raises:
        UserError: a folder does not exist.
    """
    runs: dict[Path, Run] = {}
    skipped: dict[Path, Skipped] = {}
    for folder in map(Path, folders):
        if not folder.is_dir():
            raise UserError(f"There is no folder '{folder}'. Give the folder that `gatelab train` wrote its runs to (its `out`).")
        found = list(_run_directories(folder))
        for path in found:
            try:
                runs[path.resolve()] = read_run(path)
            except UserError as error:
                skipped[path.resolve()] = Skipped(path, str(error))
        occupied = {folder.joinpath(*path.relative_to(folder).parts[:1]) for path in found}
        for path in _below(folder) if found else [folder]:
            if path not in occupied:
                skipped[path.resolve()] = Skipped(path, "there is no run in it")
    return sorted(runs.values(), key=lambda run: str(run.path)), sorted(skipped.values(), key=lambda item: str(item.path))


def _run_directories(folder: Path) -> Iterator[Path]:
    """Directories that hold a run or a piece of one, or that Hydra made for a run that never began."""
    for root, children, files in os.walk(folder):
        if {"config.json", "status.json", "metrics.jsonl"} & set(files) or (".hydra" in children):
            yield Path(root)
            children.clear()
        else:
            children[:] = sorted(name for name in children if _searched(name))


def _below(folder: Path) -> list[Path]:
    """The directories directly in a folder, unless it is a run itself."""
    if (folder / "config.json").exists():
        return []
    return [path for path in folder.iterdir() if path.is_dir() and _searched(path.name)]


def _searched(name: str) -> bool:
    """Hidden folders and what belongs to a whole sweep (its W&B files) hold no runs."""
    return not name.startswith(".") and name not in ("wandb", "sweeps")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path.name} is missing") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path.name} cannot be read: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path.name} does not hold an object")
    return value


def _records(path: Path, families: Iterable[str] = (), only_last: bool = False) -> Iterator[dict[str, Any]]:
    """The whole lines of a file; a missing file has none, and half a line at the end (a kill) is passed over.

    A report over many runs spends its time here: lines without a key of the families are left out unread.
    """
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return
    first = max(len(lines) - 2, 0) if only_last else 0  # behind the last line break there is nothing, or half a line
    wanted = re.compile(b'"(?:%s)/' % "|".join(map(re.escape, families)).encode()) if families else None
    for number, line in enumerate(lines[first:], first + 1):
        if not line or (wanted is not None and line.endswith(b"}") and not wanted.search(line)):
            continue
        try:
            record = orjson.loads(line)
            if not isinstance(record["step"], int):
                raise TypeError
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                return
            raise UserError(f"{path.name}, line {number}, is damaged") from error
        yield record


def _last(path: Path) -> dict[str, Any]:
    """The last record of a file, without its step."""
    last = next(_records(path, only_last=True), {})
    return {key: value for key, value in last.items() if key != "step"}


def _columns(records: Iterable[dict[str, Any]]) -> dict[str, tuple[list[int], list[Any]]]:
    series: dict[str, dict[int, Any]] = {}
    for record in records:
        step = record.pop("step")
        for key, value in record.items():
            series.setdefault(key, {})[step] = value
    return {key: _sorted_columns(values) for key, values in series.items()}


def _sorted_columns(values: dict[int, Any]) -> tuple[list[int], list[Any]]:
    steps = sorted(values)
    return steps, [values[step] for step in steps]
