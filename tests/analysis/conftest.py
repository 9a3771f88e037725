"""Run directories as training leaves them, written through the same `RunWriter`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from analysis.synthetic import LAST_STEP, TASKS, configuration, inside, keeping_gate, records

from gatelab.runs import RunWriter, identity, run_name

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Writes one run directory.

    `score` is the test score of a finished run; `state` may be failed, diverged, preempted or running; `keeps` says how much of its
    state the slowest unit keeps; `shape` is what its task declares of the scores; further options go into the configuration by
    dotted key ("model.hidden_size").
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
        keeps: float = 0.9,
        shape: str = "single",
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
            scalars, arrays = inside(cell, line["step"], keeps)
            writer.append("metrics.jsonl", line | scalars)
            writer.append("arrays.jsonl", arrays)
            histogram = {"step": line["step"]} | {key[:-5]: [1, 2, 3, 4] for key in line if key.endswith("/mean")}
            writer.append("histograms.jsonl", histogram)
        if state == "finished":
            gates = {key: value for key, value in lines[-1].items() if key.startswith("gate/")}
            result = {
                "cell": cell,
                "task": task,
                "metric": metric,
                "higher_is_better": higher_is_better,
                "scale": "linear",
                "shape": shape,
                "test_size": 300,
                "chance": chance,
                "solved": solved,
                "parameters": 1000 + len(cell),
                "seconds_per_step": 0.01 * (seed + 1),
                "steps": LAST_STEP,
                "val": {metric: score},
                "test": {metric: score},
                "gates": gates,
                "about": f"What {cell} does",
                "retention": keeping_gate(cell),
            }
            writer.finish(result | (summary or {}), LAST_STEP)
        elif state in ("failed", "diverged"):
            writer.progress(100)
            cause = "error" if state == "failed" else state
            writer.fail(error, f"Traceback (most recent call last):\n  {error}", "checkpoints/last.ckpt", cause)
        else:
            writer.progress(100)
            if state == "preempted":
                writer.preempt("Interrupted.")
        writer.close()
        return writer.path

    return make


@pytest.fixture
def messy(make_run: MakeRun, tmp_path: Path) -> Path:
    """A folder as it looks after a week: two cells, two tasks, two sizes, three seeds, and all that can go wrong."""
    far = {"chance": 1.0}  # so that no run stays at chance
    for seed in range(3):
        for cell, shift in (("lstm", 0.0), ("gru", 0.1)):
            make_run(cell, "adding", seed, score=0.2 + shift + 0.01 * seed, summary=far)
            make_run(cell, "copying", seed, score=0.5 + shift + 0.01 * seed)
        make_run("lstm", "adding", seed, score=0.005 + 0.001 * seed, summary=far, **{"model.hidden_size": 128})
    make_run("gru", "copying", 3, state="failed")
    make_run("lstm", "copying", 3, state="running")
    make_run("cifg", "copying", 0, state="failed")
    runs = tmp_path / "runs"
    half = runs / "half-written"
    half.mkdir()
    (half / "config.json").write_text(json.dumps(configuration("lstm", "adding", 9)))
    (make_run("lstm", "adding", 10) / "status.json").write_text('{"state": "fini')
    (make_run("lstm", "adding", 11) / "summary.json").unlink()
    damaged = make_run("lstm", "adding", 12, score=0.21, summary=far) / "metrics.jsonl"
    first, second, *rest = damaged.read_text().splitlines(keepends=True)
    damaged.write_text("".join([first, second.replace(":", "", 1), *rest]))
    (runs / "notes").mkdir()
    (runs / "notes" / "todo.txt").write_text("read Welch")
    return runs
