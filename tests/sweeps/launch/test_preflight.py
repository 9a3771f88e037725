"""What a command is about to do: counts, estimates, and what is refused before anything is written."""

import contextlib
import os
import shutil
import socket
from collections import namedtuple
from dataclasses import asdict
from pathlib import Path

import pytest

from gatelab.errors import UserError
from gatelab.runs.writer import RunWriter
from gatelab.sweeps.contracts import Alone, check_machine
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.jobs.needs import Needs
from gatelab.sweeps.jobs.resources import needs_of
from gatelab.sweeps.launch import preflight
from gatelab.sweeps.launch.preflight import preflight as look
from gatelab.sweeps.launchers.basic import Basic
from gatelab.sweeps.launchers.local import Local
from gatelab.sweeps.launchers.ray import Ray
from gatelab.sweeps.search.expand import compose_jobs

TINY = ["task.length=5", "model.hidden_size=4", "trainer.max_steps=40", "logger=none", "sweep=s"]


def jobs_of(folder: Path, *overrides: str) -> list[compose.Job]:
    compose.register_schemas()
    return compose_jobs(compose.parse([*TINY, *overrides, f"out={folder}"]), sweep=True)


def write(job: compose.Job, end: str, seconds: float = 8.0, step: int = 40) -> None:
    writer = RunWriter(job.path)
    writer.start(asdict(job.config), {}, job.run_id)
    if end == "finished":
        scores = {"metric": "mse", "val": {"mse": 0.5}, "test": {"mse": 0.5}}
        writer.finish(scores | {"wall_seconds": seconds, "steps": step}, step)
    elif end == "failed":
        writer.fail("The disk is full.", "", None)
    else:
        writer._status["step"] = step
        writer.preempt("Interrupted.")
        (job.path / "checkpoints").mkdir()
        (job.path / "checkpoints" / "last.ckpt").touch()
    writer.close()


def test_what_is_there_is_counted_and_the_rest_estimated_from_it(tmp_path):
    jobs = jobs_of(tmp_path / "runs", "seed=range(6)")
    write(jobs[0], "finished", seconds=8.0)
    write(jobs[1], "finished", seconds=12.0)
    write(jobs[2], "failed")
    write(jobs[3], "preempted", step=30)
    found = look(jobs, Basic())
    assert found.counts == {
        preflight.FINISHED: 2,
        preflight.RESUMING: 1,
        preflight.RETRIED: 1,
        preflight.NEW: 2,
    }
    assert found.measured == 2
    assert found.seconds == pytest.approx(10 * (0.25 + 1 + 2), rel=0.3)  # of 40 steps, 10 s a run; and the starts
    assert "6 runs: 2 already finished, 1 resuming from a checkpoint, 1 failed before and tried again, 2 to train." in found.lines()
    assert "from 2 like them here" in found.lines()[1]


def test_sizes_that_follow_from_another_cell_are_named_once(tmp_path):
    """Once for all seeds of a variant."""
    jobs = jobs_of(tmp_path / "runs", "seed=0,1", "cell=lstm,gru", "model.match=parameters")
    (sentence,) = look(jobs, Basic()).matched
    assert sentence == "Matched to lstm in parameters on adding (units a layer, difference): lstm 4 (+0.0%), gru 5 (+12.0%)."
    assert sentence in look(jobs, Basic()).lines()
    assert look(jobs_of(tmp_path / "runs", "cell=gru"), Basic()).matched == []


def test_without_a_run_of_the_kind_it_is_a_guess(tmp_path):
    jobs = jobs_of(tmp_path / "runs", "seed=0,1")
    other = jobs_of(tmp_path / "runs", "task.length=6", "seed=0")
    write(other[0], "finished")
    found = look(jobs, Basic())
    assert found.measured == 0
    assert "a guess" in found.lines()[1]
    assert not list((tmp_path / "runs").glob("lstm-adding-s1-*"))


def test_as_many_at_once_as_fit(tmp_path, monkeypatch):
    jobs = jobs_of(tmp_path, "seed=range(9)")
    each = needs_of(jobs[0].config).memory
    for room, launcher, expected in (
        (Needs(4, 10 * each), Local(), 4),
        (Needs(4, 2 * each + 1), Local(), 2),
        (Needs(4, 1), Local(), 1),
        (Needs(100, 100 * each), Local(), 9),
        (Needs(4, 10 * each), Local(n_jobs=6), 6),
        (Needs(4, 10 * each), Ray(), None),
    ):
        for module in ("launch.preflight", "launchers.local"):
            monkeypatch.setattr(f"gatelab.sweeps.{module}.room", lambda room=room: room)
        assert look(jobs, launcher).at_once == expected


@pytest.mark.slow
def test_needs_grow_with_what_decides_them(tmp_path):
    small, large = (needs_of(jobs_of(tmp_path, f"model.hidden_size={size}")[0].config) for size in (4, 400))
    assert large.memory > small.memory
    assert large.disk > small.disk + 3 * 3 * 4 * 4 * 400**2 * 0.9  # weights and two moments, of three checkpoints
    assert large.seconds > small.seconds
    longer = needs_of(jobs_of(tmp_path, "task.length=5000")[0].config)
    assert longer.memory - small.memory > 32 * 5000 * (4 + 2) * 4 * 4  # what the steps keep
    assert needs_of(jobs_of(tmp_path, "machine.threads=3")[0].config).threads == 3


@pytest.mark.parametrize("launcher", [Alone(), Local()], ids=["alone", "local"])
def test_what_is_left_alone_is_named_with_the_reason(tmp_path, launcher):
    jobs = jobs_of(tmp_path / "runs", "seed=range(3)", "machine.retry=none")
    write(jobs[0], "failed")
    writer = RunWriter(jobs[1].path)
    writer.start(asdict(jobs[1].config), {}, jobs[1].run_id)
    writer.fail("The training loss is nan at step 7.", "", None, "diverged")
    writer.close()
    found = look(jobs, launcher)
    assert found.counts == {preflight.LEFT: 2, preflight.NEW: 1}
    assert found.lines()[1:3] == [
        f"{jobs[0].path} failed before, at step 0: The disk is full. It is left alone because of machine.retry=none; "
        "machine.retry=all trains it again.",
        f"{jobs[1].path} failed before, at step 0: The training loss is nan at step 7. It would diverge again and is left alone; "
        "machine.retry=all trains it again.",
    ]
    assert "of memory each" in found.lines()[3]
    assert len(look(jobs[:2], launcher).lines()) == 3  # nothing is estimated where there is nothing to do


def test_of_many_that_are_left_alone_some_are_named(tmp_path):
    jobs = jobs_of(tmp_path / "runs", "seed=range(13)", "machine.retry=none")
    for job in jobs:
        write(job, "failed")
    lines = look(jobs, Local()).lines()
    assert len(lines) == 1 + preflight.REASONS + 1
    assert lines[-1].startswith("... and 3 more")


def test_what_a_search_ended_is_not_called_finished(tmp_path):
    """A sweep in processes leaves it alone, a single run trains it to its end."""
    jobs = jobs_of(tmp_path / "runs")
    writer = RunWriter(jobs[0].path)
    writer.start(asdict(jobs[0].config), {}, jobs[0].run_id)
    writer.prune("The median pruner ended it.")
    writer.close()
    assert look(jobs, Local()).counts == {preflight.PRUNED: 1}
    assert look(jobs, Alone()).counts == {preflight.NEW: 1}


def test_a_disk_that_is_too_small(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: namedtuple("Usage", "total used free")(10, 10, 1000))
    with pytest.raises(UserError, match=r"2 runs need about .* has only 1.0 kB left"):
        look(jobs_of(tmp_path, "seed=0,1"), Local())


def test_a_folder_that_cannot_be_written_to():
    with pytest.raises(UserError, match="cannot be written to"):
        look(jobs_of(Path("/proc/runs"), "seed=0,1"), Local())


def test_slurm_is_asked_for_where_there_is_none(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    for launcher in ("slurm", "submitit_slurm"):
        with pytest.raises(UserError, match=f"hydra/launcher={launcher} needs Slurm, but `sbatch` is not on"):
            check_machine(launcher)


@pytest.mark.parametrize("up", [True, False], ids=["up", "down"])
def test_slurm_is_asked_whether_it_answers(up, tmp_path, monkeypatch):
    """What Slurm's own programs do is seen in tests/cluster; these stand in for them."""
    for name, line in (("sbatch", ""), ("sinfo", "" if up else "echo 'Unable to contact slurm controller' >&2; exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with contextlib.nullcontext() if up else pytest.raises(UserError, match="Unable to contact slurm controller"):
        check_machine("slurm")


def test_wandb_that_cannot_be_reached(tmp_path, monkeypatch):
    jobs = jobs_of(tmp_path, "logger=wandb", "logger.mode=online")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    with pytest.raises(UserError, match="no key for W&B"):
        look(jobs, Local())
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{port}")
        look(jobs, Local())
    with pytest.raises(UserError, match=f"cannot be reached at 127.0.0.1:{port}.*mode=offline"):
        look(jobs, Local())
    look(jobs_of(tmp_path, "logger=wandb", "logger.mode=offline"), Local())


def test_a_dry_run_writes_nothing(gatelab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, said = gatelab("train", "-m", "--dry-run", *TINY, "seed=0,1,2")
    assert status == 0
    assert "3 runs: 3 to train." in said
    status, _, said = gatelab("train", "--dry-run", *TINY)
    assert status == 0
    assert "1 run: 1 to train." in said
    assert not list(tmp_path.iterdir())
