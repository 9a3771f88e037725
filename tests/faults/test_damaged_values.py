"""Run directories in which another program has put any value in the place of any other: nothing ends in a traceback."""

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gatelab.analysis.reading import terminal
from gatelab.analysis.reading.status import overview
from gatelab.errors import UserError
from gatelab.runs import find_runs, outcome_of
from gatelab.runs.sweep import failed_runs, write_plan
from gatelab.runs.writer import RunWriter
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.launch import batch, progress
from gatelab.sweeps.launch.preflight import preflight
from gatelab.sweeps.launch.progress import Progress
from gatelab.sweeps.launchers.local import Local
from gatelab.sweeps.papers import decided_runs
from gatelab.sweeps.search.expand import compose_jobs

TINY = ["cell=rnn", "task=adding", "task.length=4", "model.hidden_size=2", "logger=none", "sweep=s", "trainer.max_steps=2"]
SUMMARY = {"metric": "mse", "val": {"mse": 0.5}, "test": {"mse": 0.25}, "chance": 1, "steps": 2, "wall_seconds": 1.0}
JUNK = [None, "x", "nan", "", [], [1], {}, {"a": 1}, -1, 0, 10**400, 1.5, True, "finished"]
ABSENT = object()
ENDS = ("finished", "failed", "diverged", "preempted", "running", "pruned")


def begin(job: compose.Job, end: str) -> None:
    writer = RunWriter(job.path)
    writer.start(asdict(job.config), {}, job.run_id)
    if end == "finished":
        writer.finish(SUMMARY, 2)
    elif end in ("failed", "diverged"):
        writer.fail("It failed.", "Traceback", None, "error" if end == "failed" else end)
    elif end in ("preempted", "pruned"):
        (writer.preempt if end == "preempted" else writer.prune)("It was stopped.")
    writer.close()
    (job.path / "checkpoints").mkdir(exist_ok=True)
    (job.path / "checkpoints" / "last.ckpt").touch()


def changes(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for key in content:
        for junk in (*JUNK, ABSENT):
            yield {name: junk if name == key else value for name, value in content.items() if name != key or junk is not ABSENT}


def look(job: compose.Job) -> None:
    """Everything that reads a run before and while a sweep is trained."""
    preflight([job], Local())
    batch.queue([job], "local")
    batch.outcome((), job)
    decided_runs([job.path])
    outcome_of(job.path)
    failed_runs(job.path.parent / "sweeps" / "s")
    found = overview([job.path.parent])
    terminal.view(found, 80)
    terminal.json_ready(found)
    with Progress([job.path]) as bar:
        bar._watched[job.path].before = None  # as if it had been written meanwhile
        bar._open[job.path] = bar._watched[job.path]
    bar.summarise()


@pytest.mark.slow
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("file", ["status.json", "config.json", "summary.json"])
def test_every_value_of_every_file(file: str, end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=io.StringIO(), width=200))
    compose.register_schemas()
    (job,) = compose_jobs(compose.parse([*TINY, f"out={tmp_path / 'runs'}"]), sweep=True)
    begin(job, end)
    write_plan({job.path: asdict(job.config)})
    if not (job.path / file).exists():
        return
    wrong, tried = [], 0
    content = json.loads((job.path / file).read_text())
    for changed in changes(content):
        (job.path / file).write_text(json.dumps(changed))
        tried += 1
        try:
            look(job)
        except UserError:
            pass
        except Exception as error:
            key = next((key for key in content if changed.get(key, ABSENT) != content[key]), "")
            wrong.append(f"{key}={changed.get(key, 'absent')!r}: {type(error).__name__}: {error}")
    assert tried > 50
    assert not wrong, "\n".join(wrong[:20])
    assert len(find_runs([job.path])[0]) + len(find_runs([job.path])[1]) == 1
