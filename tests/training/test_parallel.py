"""Several processes that train one run: the same numbers as one, and they end together."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from training.resuming import assert_same, checkpoint, only_run, without_times
from training.teams import SHORT, Team, alone, breaks, finished, send, stopped_in_an_exchange

from gatelab.errors import UserError
from gatelab.process import place as processes
from gatelab.runs import Run, read_run
from gatelab.runs.lock import RunLock
from gatelab.tasks import TASKS
from gatelab.training.callbacks import TimeLimit
from gatelab.training.checkpoints import LastCheckpoint, WholeCheckpoints
from gatelab.training.parallel import CHECKPOINT, LEADER_SECONDS, check_shares
from gatelab.training.parallel import Team as Alone
from gatelab.training.prepare import check
from gatelab.training.spec import Spec

NOISY = ["task=adding", "task.length=8", "model.dropout=0.3", "model.input_noise=0.1", "trainer.batch_size=8", "logger=none"]
BETWEEN = [*NOISY, "machine.checkpoint_steps=3"]
EXACT = ["trainer.precision=f64", "model.dropout=0", "logger=none"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two processes that nothing disturbed."""
    return finished(Team(tmp_path_factory.mktemp("whole"), *NOISY))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "size"),
    [
        pytest.param("task=embedded_reber trainer.batch_size=9", 2, id="lengths that vary"),
        pytest.param("task=continual_reber trainer.batch_size=5", 3, id="a stream, three processes"),
        pytest.param("task=adding model.bidirectional=true trainer.batch_size=6", 2, id="two directions"),
    ],
)
def test_the_numbers_are_those_of_one_process(tmp_path: Path, task: str, size: int):
    arguments = [*task.split(), *EXACT]
    one, several = alone(tmp_path / "one", *arguments), finished(Team(tmp_path / "several", *arguments, size=size))
    _assert_close(_comparable(several), _comparable(one))
    weights, others = (checkpoint(run, "last")["state_dict"] for run in (several, one))
    for name in others:
        torch.testing.assert_close(weights[name], others[name], rtol=1e-9, atol=1e-12)
    assert several.summary()["best_step"] == one.summary()["best_step"]
    assert several.path.name == one.path.name  # how many train it is not part of what a run is


@pytest.mark.slow
def test_each_process_draws_its_own_numbers(whole: Run):
    found = checkpoint(whole, "last")
    (other,) = found["gatelab_random_others"]
    assert not torch.equal(other["cpu"], found["gatelab_random"]["cpu"])


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_ends_all_and_the_run_goes_on(tmp_path: Path, whole: Run, rank: int):
    team = Team(tmp_path, *BETWEEN, blow=(rank, 14, partial(send, signal.SIGTERM)))
    assert team.exits() == [143, 143], team.said()
    assert team.run().state == "preempted"
    again = finished(Team(tmp_path, *BETWEEN))
    assert_same(again, whole)
    assert again.status["attempts"] == 2
    assert (whole.path.parents[1] / "said-1.txt").read_text() == ""  # the first one says everything


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_in_the_middle_of_an_exchange(tmp_path: Path, rank: int):
    """What torch was just using must not keep the connections open on which the other one waits."""
    begun = time.monotonic()
    team = Team(tmp_path, *BETWEEN, blow=(rank, 14, stopped_in_an_exchange))
    assert team.exits() == [143, 143], team.said()
    assert time.monotonic() - begun < 0.5 * LEADER_SECONDS
    assert team.run().state == "preempted"


@pytest.mark.slow
@pytest.mark.parametrize(("rank", "state"), [(0, "running"), (1, "preempted")])
def test_the_death_of_one_ends_all_and_the_run_goes_on(tmp_path: Path, whole: Run, rank: int, state: str):
    team = Team(tmp_path, *BETWEEN, blow=(rank, 14, partial(send, signal.SIGKILL)))
    exits = team.exits()
    assert exits[rank] == -9
    assert exits[1 - rank] == 1, team.said()
    assert team.run().state == state
    assert_same(finished(Team(tmp_path, *BETWEEN)), whole)


@pytest.mark.slow
def test_an_error_in_one_is_that_of_the_run(tmp_path: Path):
    team = Team(tmp_path, *NOISY, blow=(1, 3, breaks))
    assert team.exits() == [1, 1]
    run = team.run()
    assert (run.state, run.status["cause"], run.status["error"]) == ("failed", "error", "the cable is loose")
    assert "in breaks" in run.status["traceback"]  # where it happened
    first, second = team.said()
    assert first.count("the cable is loose") == 1
    assert second == ""


@pytest.mark.slow
def test_they_diverge_together(tmp_path: Path):
    team = Team(tmp_path, *NOISY, "optimizer=sgd", "optimizer.lr=1e30", "trainer.clip_norm=null")
    assert team.exits() == [1, 1]
    assert team.run().diverged
    assert Team(tmp_path, *NOISY, "optimizer=sgd", "optimizer.lr=1e30", "trainer.clip_norm=null").exits() == [1, 1]
    assert team.run().status["attempts"] == 1  # left alone, by both


@pytest.mark.slow
def test_what_is_finished_is_not_trained_again(whole: Run):
    finished(Team(whole.path.parents[1], *NOISY))
    assert read_run(whole.path).status["attempts"] == 1


@pytest.mark.slow
def test_a_run_of_others_is_left_alone(tmp_path: Path, whole: Run):
    path = shutil.copytree(whole.path, tmp_path / "runs" / whole.path.name)
    (path / "status.json").unlink()
    with RunLock(path):
        team = Team(tmp_path, *NOISY)
        assert team.exits() == [2, 2]
    first, second = team.said()
    assert first.count("is being trained by another process") == 1
    assert second == ""


@pytest.mark.slow
def test_a_batch_that_is_too_small_is_refused(tmp_path: Path):
    team = Team(tmp_path, *NOISY, "trainer.batch_size=1")
    assert team.exits() == [2, 2]
    first, second = team.said()
    assert first.startswith("gatelab: A batch of 1 rows cannot be divided among 2 processes.")
    assert first.count("\n") == 1
    assert second == ""
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_one_directory_and_one_record_in_wandb(tmp_path: Path):
    logged = [item for item in BETWEEN if item != "logger=none"]
    team = Team(tmp_path, *logged, "logger=wandb", "logger.mode=offline")
    run = finished(team)
    assert len(list(run.path.glob("wandb/offline-run-*"))) == 1
    assert [path.name for path in run.path.glob("lock-*")] == ["lock-1"]
    steps = [line for line in (run.path / "metrics.jsonl").read_text().splitlines() if '"val/mse"' in line]
    assert len(steps) == 2
    assert run.path.joinpath("provenance.json").read_text().count('"processes": 2') == 1
    assert run.summary()["steps"] == 20


@pytest.mark.slow
def test_they_end_at_the_same_step_when_time_is_up(tmp_path: Path):
    team = Team(tmp_path, *NOISY, "trainer.max_steps=1000000", "trainer.max_seconds=1", "trainer.patience=null")
    run = finished(team)
    assert 0 < run.summary()["steps"] < 1_000_000


@pytest.mark.slow
def test_another_number_of_processes_goes_on_and_says_so(tmp_path: Path):
    stream = ["task=continual_reber", "trainer.batch_size=5", "machine.checkpoint_steps=3", *EXACT]
    expected = alone(tmp_path / "one", *stream)
    team = Team(tmp_path / "several", *stream, blow=(1, 14, partial(send, signal.SIGTERM)))
    assert team.exits() == [143, 143]
    (tmp_path / "several").rename(tmp_path / "renamed")
    (tmp_path / "several").mkdir()
    (tmp_path / "renamed" / "runs").rename(tmp_path / "several" / "runs")
    run = finished(Team(tmp_path / "several", *stream, size=3))
    _assert_close(_comparable(run), _comparable(expected))
    assert "processes: 2 before, 3 now" in (run.path / "provenance.json").read_text()


def test_only_the_leader_writes_a_checkpoint(tmp_path: Path):
    team = Alone()
    writer = WholeCheckpoints(team)
    team.rank = 1
    writer.save_checkpoint({"some": 1}, tmp_path / "last.ckpt")
    assert not list(tmp_path.iterdir())
    team.rank = 0
    writer.save_checkpoint({"some": 1}, tmp_path / "last.ckpt")
    assert (tmp_path / "last.ckpt").exists()
    team.rank = 1
    writer.remove_checkpoint(tmp_path / "last.ckpt")
    assert (tmp_path / "last.ckpt").exists()


def test_whose_place_is_whose(monkeypatch: pytest.MonkeyPatch):
    """Slurm's variables are in every shell of an allocation: they make nobody one of several."""
    for name, value in {"SLURM_NTASKS": "8", "SLURM_PROCID": "3", "WORLD_SIZE": "8", "RANK": "3", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert processes.place() is None
    assert processes.leads()
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "MASTER_ADDR": "here", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    assert processes.place() == processes.Place(3, 8, 1, "here", 1)
    assert not processes.leads()
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert processes.place() is None


@pytest.mark.parametrize("command", [["train", "-m", "seed=1,2"], ["resume", "some"]], ids=" ".join)
def test_several_runs_are_not_for_several_processes(monkeypatch: pytest.MonkeyPatch, capsys, command: list[str]):
    from gatelab.cli.main import main

    place = {"TORCHELASTIC_RUN_ID": "x", "WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    for name, value in place.items():
        monkeypatch.setenv(name, value)
    assert main(command) == 2
    assert "one run in several processes" in capsys.readouterr().err


@pytest.mark.parametrize("task", TASKS.names())
def test_the_batches_of_every_task_can_be_shared_out(small, mirror: Path, task: str):
    check_shares(Spec(small(task={"name": task})), 3)


def test_a_loss_that_is_no_such_mean_is_refused(small, monkeypatch: pytest.MonkeyPatch):
    task = TASKS.get("adding")
    monkeypatch.setattr(task, "loss", lambda self, output, batch: (output - batch.y).square().sum())
    with pytest.raises(UserError, match="`weight` return what the loss of a batch is a mean over"):
        check_shares(Spec(small()), 2)


def test_a_launcher_declares_its_processes(small):
    processes.declare(processes.Place(0, 99, 0, "nowhere", 1))
    try:
        with pytest.raises(UserError, match="A batch of 8 rows cannot be divided among 99 processes"):
            check(Spec(small()))
    finally:
        processes.declare(None)


def test_only_the_leader_s_clock_counts(tmp_path: Path):
    trainer: Any = SimpleNamespace(should_stop=False)
    module: Any = None
    for rank in (1, 0):
        team = Alone()
        team.rank = rank
        limit, last = TimeLimit(1e-9, team), LastCheckpoint(tmp_path, seconds=0.0, team=team)
        limit.on_train_start(trainer, module)
        for callback in (limit, last):
            callback.on_train_batch_start(trainer, module, module, 0)
        assert not team.granted(CHECKPOINT)  # the others have not been told yet
        team.mean(0.0, 1.0)
        limit.on_train_batch_end(trainer, module)
        assert (trainer.should_stop, team.granted(CHECKPOINT)) == (rank == 0, rank == 0)
        team.mean(0.0, 1.0)
        assert not team.granted(CHECKPOINT)


@pytest.mark.slow
def test_torchrun_is_stopped_and_goes_on(tmp_path: Path):
    """The real one, which has a store of its own, and sends its processes a signal when it gets one."""
    longer = [*NOISY, "trainer.max_steps=200", "machine.checkpoint_steps=7"]
    expected = finished(Team(tmp_path / "whole", *longer))
    command = [str(Path(sys.executable).parent / "torchrun"), "--nproc-per-node=2", "-m", "gatelab", "train", *SHORT, *longer]
    command.append(f"out={tmp_path / 'runs'}")
    torchrun = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while torchrun.poll() is None and not list(tmp_path.glob("runs/*/checkpoints/last.ckpt")):
        time.sleep(0.05)
    torchrun.terminate()
    _, said = torchrun.communicate(timeout=300)
    assert torchrun.returncode != 0
    assert said.count("gatelab: interrupted") == 1, said
    stopped = read_run(only_run(tmp_path / "runs"))
    assert stopped.state == "preempted"
    assert stopped.status["step"] < 200
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert_same(read_run(stopped.path), expected)


@pytest.mark.slow
def test_one_is_killed_or_stopped_at_any_moment(tmp_path: Path):
    """Again and again, by somebody who does not know what it is doing: while they start, meet, train, save and end."""
    longer = [
        *NOISY,
        "trainer.max_steps=200",
        "trainer.patience=null",
        "machine.checkpoint_steps=7",
        "machine.checkpoint_seconds=0.2",
    ]
    expected = finished(Team(tmp_path / "whole", *longer))
    moments = random.Random(1)
    for _ in range(4):
        team = Team(tmp_path / "cut", *longer, join=20.0)  # that one waits for a peer which died before they met
        rank = moments.randrange(2)
        team.members[rank].join(moments.uniform(0.1, 6))
        if team.members[rank].exitcode is None:
            os.kill(team.members[rank].pid, moments.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))  # type: ignore[arg-type]
        if team.exits() == [0, 0]:
            break
    assert_same(finished(Team(tmp_path / "cut", *longer)), expected)


def _comparable(run: Run) -> dict[str, Any]:
    """Losses, scores and gradients; the gates are those of the first process's rows."""
    wanted = ("train/", "val/", "test/", "grad/", "clip/")
    return {key: value for key, value in without_times(run.metrics()).items() if key.startswith(wanted)}


def _assert_close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for key in expected:
        assert found[key][0] == expected[key][0], key
        np.testing.assert_allclose(found[key][1], expected[key][1], rtol=1e-9, atol=1e-12, err_msg=key)
