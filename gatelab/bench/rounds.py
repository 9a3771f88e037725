"""Interleaved rounds: each measures every column of a case once, in turn."""

import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gatelab.bench.cases import Case, Column
from gatelab.bench.client import Client, DiedError, WorkerError
from gatelab.bench.statistics import Times, median, ratio, spread
from gatelab.cells import parameter_count
from gatelab.diagnostics.cost import training_flops
from gatelab.kernels import BACKENDS

SLOW = 0.7  # seconds; a step that takes longer is measured in FEW rounds
FEW = 3
FILLED = 0.03  # seconds that one measurement of a short step is filled up to
WARM = 0.25  # seconds; a shorter step is called once untimed, so that caches and threads are as in a row of steps


class Bench:
    """The workers of a run, and the measurements they are asked for.

    Args:
        threads, dtype: of every column.
        repeats: rounds.
        plugins: files with cells of the user.
        say: called with a line when something is worth telling.
        memory: whether peak memory is measured, too.
    """

    def __init__(
        self,
        threads: int,
        dtype: str,
        repeats: int,
        plugins: Sequence[str],
        say: Callable[[str], None],
        memory: bool = True,
    ) -> None:
        self.threads, self.dtype, self.repeats, self.plugins, self.say = threads, dtype, repeats, plugins, say
        self.memory = memory
        self.peak: float | None = None  # GFLOP/s, the largest seen
        self.peak_note = ""
        self._clients: dict[str, Client] = {}

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *error: object) -> None:
        for client in self._clients.values():
            client.close()

    @property
    def allocator_note(self) -> str:
        """Why our allocator settings do not apply here, or nothing."""
        return self._client("tuned").hello["note"] or ""

    def versions(self) -> dict[str, str]:
        """Versions as the workers name them."""
        return {name: version for client in self._clients.values() for name, version in client.hello["versions"].items()}

    def run(self, case: Case) -> dict[str, Any]:
        """Measures one case; the result holds everything that is printed, and more."""
        calls, refused = self._prepare(case.columns)
        times: dict[str, dict[int, float]] = {name: {} for name in calls}
        for number in range(self.repeats):
            self._measure_peak()
            # Each round begins with another column: none is always the one behind the slowest.
            start = number % len(case.columns)
            for column in (*case.columns[start:], *case.columns[:start]):
                if column.name not in calls or (calls[column.name][1] > SLOW and number >= FEW):
                    continue
                try:
                    times[column.name][number] = self._measure(column, *calls[column.name])
                except WorkerError as error:
                    refused[column.name] = str(error)
                    calls = {key: value for key, value in calls.items() if key != column.name}
                    if isinstance(error, DiedError):
                        self._restart(column.worker, [other for other in case.columns if other.name in calls])
        for worker in {column.worker for column in case.columns}:
            self._client(worker).ask("release")
        found = {name: of for name, of in times.items() if of and name not in refused}
        return _figures(case, found, refused, self._memory(case, found) if self.memory else {})

    def _prepare(self, columns: Sequence[Column]) -> tuple[dict[str, tuple[int, float]], dict[str, str]]:
        """Calls a measurement and seconds of a first step by column; and why the others cannot be measured."""
        calls: dict[str, tuple[int, float]] = {}
        refused: dict[str, str] = {}
        for column in columns:
            try:
                seconds = self._client(column.worker).ask("prepare", name=column.name, step=column.step)["seconds"]
                calls[column.name] = (min(50, max(1, math.ceil(FILLED / seconds))), seconds)
            except WorkerError as error:
                refused[column.name] = str(error)
                if isinstance(error, DiedError):
                    self._restart(column.worker, [other for other in columns if other.name in calls])
        return calls, refused

    def _measure(self, column: Column, calls: int, first: float) -> float:
        client = self._client(column.worker)
        return client.ask("measure", name=column.name, calls=calls, warm=first < WARM)["seconds"]

    def _measure_peak(self) -> None:
        if self.peak_note:
            return
        try:
            self.peak = max(self.peak or 0.0, self._client("tuned").ask("peak", dtype=self.dtype)["gflops"])
        except WorkerError as error:
            self.peak_note = str(error)

    def _memory(self, case: Case, measured: Mapping[str, Times]) -> dict[str, float]:
        """Peak MiB of each column (of the better one of torch's two), by processes that have not computed anything before."""
        peaks = {}
        for column in case.columns:
            rival = _rival(column.name)
            worse = rival in measured and column.name in measured and median(measured[rival]) < median(measured[column.name])
            if column.name not in measured or worse or column.name == "baseline":
                continue
            key = f"{column.worker} memory"
            try:
                peaks[column.name] = self._client(key).ask("memory", step=column.step)["mib"]
            except WorkerError as error:
                self.say(f"{case.label} {case.shape}: no peak memory of {column.name}: {error}")
                self._end(key)
            if column.worker == "flax":  # it cannot fork
                self._end(key)
        return peaks

    def _client(self, worker: str) -> Client:
        """The process of that name; a second word keeps apart those of one kind."""
        if worker not in self._clients:
            self._clients[worker] = Client(worker.partition(" ")[0], self.threads, self.plugins)
        return self._clients[worker]

    def _end(self, worker: str) -> None:
        if worker in self._clients:
            self._clients.pop(worker).close()

    def _restart(self, worker: str, columns: Sequence[Column]) -> None:
        """A new process in the place of one that ended, with the columns that the old one held."""
        self._end(worker)
        for column in columns:
            if column.worker == worker:
                self._client(worker).ask("prepare", name=column.name, step=column.step)


def flax_installed() -> bool:
    """Whether the Flax column can be measured."""
    return all(importlib.util.find_spec(name) is not None for name in ("jax", "flax"))


def _rival(name: str) -> str:
    """The other one of torch's two columns."""
    return name.replace("onednn", "native") if "onednn" in name else name.replace("native", "onednn")


def _better(times: Mapping[str, Times], worker: str) -> str | None:
    """The faster one of torch's two columns in a worker, by their medians."""
    names = [name for name in (f"torch_{worker}_onednn", f"torch_{worker}_native") if name in times]
    return min(names, key=lambda name: median(times[name])) if names else None


def _figures(case: Case, times: Mapping[str, Times], refused: Mapping[str, str], memory: Mapping[str, float]) -> dict[str, Any]:
    """The result of a case in plain containers."""
    flops = training_flops(case.cell, *case.shape)
    columns = {column.name: _column(column, times, refused, memory) for column in case.columns}
    own = next((name for name in BACKENDS if name in times), None)
    result: dict[str, Any] = {
        "cell": case.label,
        "options": asdict(case.cell),
        "shape": case.shape._asdict(),
        "parameters": parameter_count(case.cell, case.shape.D, case.shape.H),
        "flops": flops,
        "backend": own,
        "columns": columns,
    }
    if own is None:
        return result | {"ratios": {}, "torch": {}, "gflops": None, "per_flop": None}
    peers = {worker: _better(times, worker) for worker in ("found", "tuned")}
    rivals: dict[str, str | None] = {} if own == "eager" else {"eager": "eager", "eager_found": "eager_found"}
    rivals |= {"torch_found": peers["found"], "torch_tuned": peers["tuned"], "flax": "flax"}
    per_flop = 1.0 if case.cell == case.baseline and own != "eager" else None
    if "baseline" in times:
        per_flop = ratio(times[own], times["baseline"]) * training_flops(case.baseline, *case.shape) / flops
    return result | {
        "ratios": {key: ratio(times[name], times[own]) for key, name in rivals.items() if name is not None and name in times},
        "torch": peers,
        "gflops": flops / median(times[own]) / 1e9,
        "per_flop": per_flop,
    }


def _column(column: Column, times: Mapping[str, Times], refused: Mapping[str, str], memory: Mapping[str, float]) -> dict[str, Any]:
    """Median, spread (half the distance between the quartiles over the median), rounds and memory; or why there are none."""
    allocator = "tuned" if column.worker == "tuned" else "found"
    if column.name not in times:
        return {"allocator": allocator, "refused": refused.get(column.name, "not measured")}
    of = times[column.name]
    return {
        "allocator": allocator,
        "seconds": median(of),
        "spread": spread(of),
        "n": len(of),
        "rounds": list(of.values()),
        "peak_mib": memory.get(column.name),
    }
