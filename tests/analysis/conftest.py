"""Run directories as training leaves them, written through the same `RunWriter`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gatelab.runs import RunWriter, identity, run_name

MakeRun = Callable[..., Path]

TASKS = {  # metric, higher_is_better, chance, solved
    "adding": ("mse", False, 1 / 6, 0.01),
    "copying": ("accuracy", True, 0.1, 0.99),
}
GATES = {"lstm": ("input", "forget", "output"), "gru": ("reset", "update")}
LAST_STEP = 200


def configuration(cell: str, task: str, seed: int, **options: Any) -> dict[str, Any]:
    """A resolved configuration; options by dotted key."""
    config: dict[str, Any] = {
        "cell": {"name": cell},
        "task": {"name": task, "length": 100},
        "model": {"hidden_size": 64, "num_layers": 1},
        "optimizer": {"name": "adamw", "lr": 2e-3, "beta1": 0.9},
        "schedule": {"name": "constant"},
        "trainer": {"max_steps": LAST_STEP, "val_every": 50},
        "logger": {"name": "none"},
        "machine": {"device": "cpu", "threads": 1},
        "seed": seed,
        "data_seed": None,
        "plugins": [],
        "out": "runs",
        "sweep": None,
    }
    for key, value in options.items():
        *path, name = key.split(".")
        place = config
        for part in path:
            place = place[part]
        place[name] = value
    return config


def records(cell: str, metric: str, score: float) -> list[dict[str, Any]]:
    """A metrics file: everything at every fiftieth step, the score falling or rising to its last value in straight line."""
    lines = []
    for step in range(50, LAST_STEP + 1, 50):
        line: dict[str, Any] = {"step": step, "train/loss": 1.0, f"val/{metric}": score * step / LAST_STEP, "val/loss": 1.0}
        for gate in GATES.get(cell, ("forget",)):
            line |= {f"gate/0/{gate}/mean": 0.5, f"gate/0/{gate}/std": 0.1}
            line |= {f"gate/0/{gate}/saturated_left": 0.1, f"gate/0/{gate}/saturated_right": 0.4}
        lines.append(line | {"grad/norm": 2.0, "grad/rnn.0.R": 1.0, "grad/rnn.0.R/forget": 0.5, "lr": 2e-3})
    return lines


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes one run directory.

    `score` is the test score of a finished run; `state` may be failed, diverged or running; further options go into the
    configuration by dotted key ("model.hidden_size").
    """

    def make(
        cell: str = "lstm",
        task: str = "adding",
        seed: int = 0,
        score: float = 0.5,
        state: str = "finished",
        folder: str = "runs",
        provenance: dict[str, Any] | None = None,
        error: str = "The loss is nan.",
        summary: dict[str, Any] | None = None,
        **options: Any,
    ) -> Path:
        metric, higher_is_better, chance, solved = TASKS[task]
        config = configuration(cell, task, seed, **options)
        hashes = (provenance or {}).get("plugin_sha256", {}).values()
        run_id = identity(config, hashes)
        # Names from files must not become paths here.
        name = run_name(config | {"cell": {"name": "".join(filter(str.isalnum, cell))}}, run_id)
        writer = RunWriter(tmp_path / folder / name)
        writer.start(config, provenance if provenance is not None else {"versions": {"torch": "2.9"}}, run_id)
        lines = records(cell, metric, score)
        for line in lines if state == "finished" else lines[:2]:
            writer.append("metrics.jsonl", line)
            histogram = {"step": line["step"]} | {key[:-5]: [1, 2, 3, 4] for key in line if key.endswith("/mean")}
            writer.append("histograms.jsonl", histogram)
        if state == "finished":
            gates = {key: value for key, value in lines[-1].items() if key.startswith("gate/")}
            result = {
                "cell": cell,
                "task": task,
                "metric": metric,
                "higher_is_better": higher_is_better,
                "chance": chance,
                "solved": solved,
                "parameters": 1000 + len(cell),
                "seconds_per_step": 0.01 * (seed + 1),
                "steps": LAST_STEP,
                "val": {metric: score},
                "test": {metric: score},
                "gates": gates,
            }
            writer.finish(result | (summary or {}), LAST_STEP)
        elif state in ("failed", "diverged"):
            writer.progress(100)
            cause = "error" if state == "failed" else state
            writer.fail(error, f"Traceback (most recent call last):\n  {error}", "checkpoints/last.ckpt", cause)
        else:
            writer.progress(100)
        writer.close()
        return writer.path

    return make


@pytest.fixture
def messy(make_run: MakeRun, tmp_path: Path) -> Path:
    """A folder as it looks after a week: two cells, two tasks, two sizes, three seeds, and all that can go wrong."""
    for seed in range(3):
        for cell, shift in (("lstm", 0.0), ("gru", 0.1)):
            make_run(cell, "adding", seed, score=0.2 + shift + 0.01 * seed)
            make_run(cell, "copying", seed, score=0.5 + shift + 0.01 * seed)
        make_run("lstm", "adding", seed, score=0.005 + 0.001 * seed, **{"model.hidden_size": 128})
    make_run("gru", "copying", 3, state="failed")
    make_run("lstm", "copying", 3, state="running")
    make_run("cifg", "copying", 0, state="failed")
    runs = tmp_path / "runs"
    half = runs / "half-written"
    half.mkdir()
    (half / "config.json").write_text(json.dumps(configuration("lstm", "adding", 9)))
    (make_run("lstm", "adding", 10) / "status.json").write_text('{"state": "fini')
    (make_run("lstm", "adding", 11) / "summary.json").unlink()
    damaged = make_run("lstm", "adding", 12, score=0.21) / "metrics.jsonl"
    damaged.write_text(damaged.read_text().replace('"step": 100', '"step" 100', 1))
    (runs / "notes").mkdir()
    (runs / "notes" / "todo.txt").write_text("read Welch")
    return runs
