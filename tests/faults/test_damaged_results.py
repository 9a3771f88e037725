"""A run that says it is finished, and whose summary is damaged: every part of a sweep takes it for one that is to be completed."""

import io
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
from optuna.trial import TrialState
from rich.console import Console

from gatelab.analysis.reading.status import overview
from gatelab.runs import RunWriter, outcome_of, read_run
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.launch import batch, preflight, progress
from gatelab.sweeps.launch.preflight import preflight as look
from gatelab.sweeps.launch.progress import Progress
from gatelab.sweeps.launchers.basic import Basic
from gatelab.sweeps.papers import decided_runs
from gatelab.sweeps.search import search
from gatelab.sweeps.search.expand import compose_jobs

TINY = ["cell=rnn", "task=adding", "task.length=4", "model.hidden_size=2", "logger=none", "sweep=s"]
TINY += ["trainer.max_steps=2", "trainer.val_every=1", "trainer.batch_size=2"]
SUMMARY = {"metric": "mse", "val": {"mse": 0.5}, "test": {"mse": 0.25}, "chance": 1, "steps": 2, "wall_seconds": 1.0}
DAMAGED = {
    "cut off": '{"metric": "mse", "val": {"ms',
    "empty": "",
    "missing": None,
    "no scores": '{"metric": "mse"}',
    "another metric": '{"metric": "nll", "val": {"mse": 0.5}, "test": {"mse": 0.25}}',
    "no number": '{"metric": "mse", "val": {"mse": []}, "test": {"mse": 0.25}}',
    "no object": "[]",
}


@pytest.fixture
def finished(tmp_path: Path) -> list[compose.Job]:
    """One job, whose run is finished."""
    compose.register_schemas()
    jobs = compose_jobs(compose.parse([*TINY, f"out={tmp_path / 'runs'}"]), sweep=True)
    writer = RunWriter(jobs[0].path)
    writer.start(asdict(jobs[0].config), {}, jobs[0].run_id)
    writer.finish(SUMMARY, 2)
    writer.close()
    return jobs


def damage(path: Path, content: str | None) -> None:
    (path / "summary.json").unlink()
    if content is not None:
        (path / "summary.json").write_text(content)


def test_a_whole_one_is_finished(finished: list[compose.Job]):
    (job,) = finished
    assert outcome_of(job.path) == "finished"
    assert read_run(job.path).damage() is None
    assert batch.queue(finished, "local") == []
    assert batch.outcome((), job).return_value == 0.5
    assert look(finished, Basic()).counts == {preflight.FINISHED: 1}
    assert decided_runs([job.path])


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_all_say_that_it_is_to_be_completed(finished: list[compose.Job], content: str | None):
    (job,) = finished
    damage(job.path, content)
    run = read_run(job.path)
    assert run.outcome == outcome_of(job.path) == "preempted"
    assert "summary.json" in str(run.damage())
    assert batch.queue(finished, "local") == [0]
    assert math.isnan(batch.outcome((), job).return_value)
    assert look(finished, Basic()).counts == {preflight.NEW: 1}
    (job.path / "checkpoints").mkdir()
    (job.path / "checkpoints" / "last.ckpt").touch()
    assert look(finished, Basic()).counts == {preflight.RESUMING: 1}
    assert search._outcome(run, "mse") == (TrialState.FAIL, None)
    assert not decided_runs([job.path])
    (standing,) = overview([job.path]).runs
    assert (standing.state, "summary.json" in standing.reason) == ("interrupted", True)


def test_the_progress_of_a_command_does_not_count_it(finished: list[compose.Job], monkeypatch: pytest.MonkeyPatch):
    printed = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=printed, width=200))
    damage(finished[0].path, "{")
    with Progress([finished[0].path]) as bar:
        pass
    assert bar.summarise() == 1


def test_what_a_search_ended_stays_so(finished: list[compose.Job], tmp_path: Path):
    """`mark` is for what could not note its end; that a pruner ended a run is such a note."""
    path = tmp_path / "runs" / "rnn-adding-s1-x"
    writer = RunWriter(path)
    writer.start(asdict(finished[0].config), {}, "x")
    writer.prune("The median pruner ended it.")
    writer.close()
    for state in ("failed", "preempted"):
        assert not batch.mark(path, state, "Its process was killed.")
        assert read_run(path).state == "pruned"


@pytest.mark.slow
def test_a_sweep_completes_it_and_scores_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gatelab: Callable[..., tuple[int, str, str]]
):
    monkeypatch.chdir(tmp_path)
    command = ["train", "-m", *TINY, "hydra/launcher=basic"]
    assert gatelab(*command)[0] == 0
    (path,) = tmp_path.glob("runs/rnn-*")
    whole = json.loads((path / "summary.json").read_text())
    (path / "summary.json").write_text('{"metric": "m')
    status, _, said = gatelab(*command)
    assert status == 0
    assert "1 resuming from a checkpoint" in said
    assert "test mse" in said
    again = json.loads((path / "summary.json").read_text())
    assert [again[key] for key in ("val", "test", "steps")] == [whole[key] for key in ("val", "test", "steps")]
    assert read_run(path).status["attempts"] == 2
    assert not [name for name in os.listdir(path) if "summary.json." in name]
