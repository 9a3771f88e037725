"""The launcher `slurm` on a real Slurm of two nodes: preemption, a dead node, failing and killed jobs, Ctrl-C."""

import os
import signal
import subprocess

import pytest
from hosts import until
from sweeping import SWEEP, assert_begun_twice, assert_same, start, states, stopped_by_ctrl_c, sweeping, training

from gatelab.runs import find_runs, read_run

ON_SLURM = ["hydra/launcher=slurm", "sweep=s"]


def running_jobs() -> dict[str, str]:
    """Node -> the job on it: every node has one processor."""
    shown = subprocess.run(["squeue", "-h", "-r", "-t", "R", "-o", "%N %i"], capture_output=True, text=True, check=True)
    return dict(line.split() for line in shown.stdout.splitlines())


def test_preempted_and_orphaned_runs_end_as_if_nothing_had_been(slurm, whole, tmp_path):
    with sweeping(tmp_path, *ON_SLURM, log=slurm.log) as sweep:
        preempted = until(lambda: training(tmp_path / "runs"), "a run is being trained")
        step = f"{running_jobs()[preempted.status['host']]}.0"  # the whole job would be asked again while it is being requeued
        subprocess.run(["scancel", "--signal=USR2", step], check=True)
        until(lambda: read_run(preempted.path).state == "preempted", "the run that got the signal is preempted", 30)
        lost = until(lambda: training(tmp_path / "runs", lambda run: run.status["host"] == "gl2"), "the second node has a run")
        slurm.kill_node("gl2")
        down = ["sinfo", "-h", "-n", "gl2", "-o", "%T"]
        until(lambda: "down" in subprocess.check_output(down, text=True), "Slurm sees that the node is dead", 90)
        slurm.start_node("gl2")
        assert sweep.wait(500) == 0
    assert_same(tmp_path / "runs", whole)
    assert_begun_twice(tmp_path / "runs", preempted, lost)
    assert not running_jobs()


@pytest.mark.parametrize("slurm", [True, False], ids=["accounting", "no accounting"], indirect=True)
def test_jobs_that_fail_or_are_killed_cost_only_themselves(slurm, tmp_path):
    arguments = ["cell=rnn", "task=adding", "task.length=20", "trainer.val_every=20", "logger=none", "optimizer=sgd"]
    arguments += ["trainer.max_steps=2000", "trainer.clip_norm=null", "trainer.patience=null", "optimizer.lr=1e30,0.01,0.02"]
    sweep = start(tmp_path, "train", "-m", *arguments, *ON_SLURM)
    try:
        killed = until(lambda: training(tmp_path / "runs", lambda run: run.config["optimizer"]["lr"] == 0.02), "a run is trained")
        os.kill(killed.status["pid"], signal.SIGKILL)
        assert sweep.wait(200) == 1
    finally:
        sweep.kill()
    runs, _ = find_runs([tmp_path / "runs"])
    found = {run.config["optimizer"]["lr"]: (run.state, run.status.get("cause")) for run in runs}
    assert found == {1e30: ("failed", "diverged"), 0.01: ("finished", None), 0.02: ("failed", "killed")}
    said = (tmp_path / "said.txt").read_text()
    assert "1 of 3 runs finished" in said
    assert "The training loss is" in said
    assert "ended as FAILED without a result" in said
    assert "Traceback" not in said


def test_ctrl_c_cancels_the_jobs_and_the_sweep_can_go_on(slurm, whole, tmp_path):
    stopped = stopped_by_ctrl_c(tmp_path, 60, *ON_SLURM)
    until(lambda: read_run(stopped.path).state == "preempted", "the run was stopped", 30)
    until(lambda: not running_jobs(), "the queue is empty", 30)
    assert "queued" in states(tmp_path / "runs")
    assert states(tmp_path / "runs") <= {"queued", "preempted", "finished"}
    again = start(tmp_path, *SWEEP, "sweep=s")  # on this machine
    assert again.wait(600) == 0
    assert_same(tmp_path / "runs", whole)
    assert read_run(stopped.path).status["attempts"] == 2
