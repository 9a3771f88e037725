"""One run: its identity, its name, and reading its directory."""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from gatelab.errors import UserError
from gatelab.runs.files import columns, last_record, read_formatted, records, sorted_columns
from gatelab.runs.matched import REFERENCE
from gatelab.runs.writer import STATES

# Where and how a run happens; everything else is what it computes.
NOT_IDENTITY = ("machine", "logger", "out", "sweep", "plugins")
# Options that later versions added. At these values, their defaults, they do not count: runs of earlier versions are the same runs.
ADDED: Mapping[str, Mapping[str, Any]] = {
    "model": {"recurrent_dropout": 0.0, "zoneout": 0.0, "zoneout_memory": 0.0, "residual": False}
}


def identity(config: Mapping[str, Any], plugin_hashes: Iterable[str] = (), data_hashes: Mapping[str, str] | None = None) -> str:
    """The run id: ten hexadecimal digits of the SHA-256 of what decides the result.

    Args:
        config: the resolved configuration, plain containers; machine settings do not count.
        plugin_hashes: digests of the user's files that the run uses: other equations make another run.
        data_hashes: SHA-256 by data file, for data that gatelab does not fix: other data make another run.
    """
    kept = {key: value for key, value in _without_added(config).items() if key not in NOT_IDENTITY}
    hashes = sorted(plugin_hashes)
    if hashes:
        kept["plugins"] = hashes
    if data_hashes:
        kept["data"] = dict(data_hashes)
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()[:10]


def with_added(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with all options of `ADDED`, whichever version wrote it."""
    groups = {group: {**defaults, **config[group]} for group, defaults in ADDED.items() if isinstance(config.get(group), Mapping)}
    return {**config, **groups}


def _without_added(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration without those that have their default."""
    kept = dict(config)
    for group, defaults in ADDED.items():
        if isinstance(kept.get(group), Mapping):
            kept[group] = {key: value for key, value in kept[group].items() if key not in defaults or value != defaults[key]}
    return kept


def roles(config: Mapping[str, Any]) -> dict[str, str]:
    """The registry names that a run uses: its cell, its task and, where it matters, the cell that sets its size."""
    found = {"cell": config["cell"]["name"], "task": config["task"]["name"]}
    model = config.get("model")
    if isinstance(model, Mapping) and model.get("match", "units") != "units":
        found["match_to"] = model.get("match_to", REFERENCE)
    return found


def run_name(config: Mapping[str, Any], run_id: str) -> str:
    """The name of a run directory, readable and unique: `lstm-adding-s0-1f2e3d4c5b`."""
    return f"{config['cell']['name']}-{config['task']['name']}-s{config['seed']}-{run_id}"


@dataclass(frozen=True)
class Run:
    """One run directory, read."""

    path: Path
    config: dict[str, Any]
    status: dict[str, Any]

    @property
    def state(self) -> str:
        """One of STATES."""
        return self.status["state"]

    @property
    def outcome(self) -> str:
        """The state by which training decides what to do with a run. Nothing else tells whether a run is finished.

        It is `state`, but `preempted` if the results of a finished run are damaged: the next command completes the run
        from its last checkpoint.
        """
        return "preempted" if self.damage() else self.state

    def damage(self) -> str | None:
        """What is wrong with the results of a finished run; None if they are whole or the run is not finished."""
        if self.state != "finished":
            return None
        try:
            summary = self.summary()
            for split in ("val", "test"):
                float(summary[split][summary["metric"]])
        except UserError as error:
            return str(error)
        except KeyError as error:
            return f"summary.json lacks {error}"
        except (TypeError, ValueError, OverflowError) as error:
            return f"summary.json is damaged: {error}"
        return None

    @property
    def step(self) -> int:
        """The number of optimiser steps made; 0 if the status does not tell."""
        step = self.status.get("step")
        return step if isinstance(step, int) and step > 0 else 0

    @property
    def share(self) -> float:
        """How much of the run is done, from 0 to 1; 0 if the status does not tell."""
        steps = self.status.get("max_steps")
        return min(1.0, self.step / steps) if isinstance(steps, int) and steps > 0 else 0.0

    @property
    def diverged(self) -> bool:
        """Whether it ended because its loss or score was not finite. Unlike other failures, that is a result, if a bad one."""
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
        return read_formatted(self.path / "summary.json")

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """The recorded origin of the run; empty if it cannot be read, since no result depends on it."""
        try:
            return read_formatted(self.path / "provenance.json")
        except UserError:
            return {}

    def metrics(self, *families: str) -> dict[str, tuple[list[int], list[float]]]:
        """Every metric as (steps, values), in the order of the steps.

        Args:
            families: only lines with a key of these families ("val", "grad") are read; if empty, all are.
        """
        series: dict[str, dict[int, float]] = {}
        for record in records(self.path / "metrics.jsonl", families):
            step = record.pop("step")
            for key, value in record.items():
                try:
                    series[key][step] = float(value)
                except KeyError:
                    series[key] = {step: float(value)}
        return {key: sorted_columns(values) for key, values in series.items()}

    def histograms(self) -> dict[str, tuple[list[int], list[list[int]]]]:
        """Every histogram as (steps, counts)."""
        return columns(records(self.path / "histograms.jsonl"))

    def last_histograms(self) -> dict[str, list[int]]:
        """The counts of the last record: reading all records takes as long as reading the metrics."""
        return last_record(self.path / "histograms.jsonl")

    def arrays(self, *families: str) -> dict[str, tuple[list[int], list[list[float]]]]:
        """Every array-valued record as (steps, arrays).

        Args:
            families: as for `metrics`.
        """
        found = columns(records(self.path / "arrays.jsonl", families))
        return {key: (steps, [list(map(float, row)) for row in rows]) for key, (steps, rows) in found.items()}

    def last_arrays(self) -> dict[str, list[float]]:
        """The arrays of the last record."""
        return {key: list(map(float, row)) for key, row in last_record(self.path / "arrays.jsonl").items()}

    def inspections(self) -> dict[str, dict[str, Any]]:
        """What `gatelab inspect` found, by checkpoint and split ("best/test"); empty if it was not called.

        Raises:
            UserError: inspect.json is damaged, or a newer version of gatelab wrote it.
        """
        path = self.path / "inspect.json"
        return read_formatted(path) if path.exists() else {}


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
    config, status = read_formatted(path / "config.json"), read_formatted(path / "status.json")
    try:
        run = Run(path, config, status)
        if run.state not in STATES:
            raise UserError(f"status.json: unknown state '{run.state}'")
        if not (isinstance(run.cell, str) and isinstance(run.task, str) and isinstance(run.seed, int)):
            raise UserError("config.json: cell, task or seed has the wrong type")
    except (KeyError, TypeError) as error:
        raise UserError(f"config.json or status.json lacks {error}") from error
    return run


def outcome_of(path: Path) -> str | None:
    """The `outcome` of the run in a directory; None if there is no run that can be read."""
    try:
        return read_run(path).outcome
    except UserError:
        return None


def find_runs(folders: Iterable[str | Path]) -> tuple[list[Run], list[Skipped]]:
    """All runs under the folders, and the directories among them that cannot be read.

    A folder may be a run itself or hold runs, directly or deeper. A folder that was
    given, or lies directly below one, and holds no run is listed as foreign.

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
    """Directories that hold a run or a part of one, or that Hydra created for a run that never began."""
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
    """Hidden folders and those of a whole sweep (its W&B files) hold no runs."""
    return not name.startswith(".") and name not in ("wandb", "sweeps")
