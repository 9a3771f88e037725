"""The launcher `slurm` on a real Slurm of two nodes: preemption, a dead node, time limits, failing and killed jobs, Ctrl-C, one run
in two processes on both nodes.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cluster.hosts import until
from cluster.sweeping import (
    SWEEP,
    assert_begun_twice,
    assert_same,
    assert_same_run,
    environment,
    run_of,
    start,
    states,
    stopped_by_ctrl_c,
    sweeping,
    training,
)
from held import hold

from gatelab.runs import Run, find_runs, read_run

ON_SLURM = ["hydra/launcher=slurm", "sweep=s"]
RUN = ["cell=lstm", "task=adding", "task.length=20", "model.hidden_size=16", "model.dropout=0.2", "trainer.max_steps=1500"]
RUN += ["trainer.val_every=50", "trainer.patience=null", "logger=none"]
ON_TWO_NODES = ["-m", *ON_SLURM, "hydra.launcher.nodes=2", "hydra.launcher.tasks_per_node=1"]


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
        displaced = until(lambda: training(tmp_path / "runs", undisturbed), "another run is being trained")
        urgent = ["sbatch", "-p", "urgent", "-w", displaced.status["host"], "-o", "/dev/null", "--wrap", "true"]
        subprocess.run(urgent, check=True, capture_output=True)
        until(lambda: read_run(displaced.path).state == "preempted", "the run whose place was needed is preempted", 30)
        lost = until(lambda: training(tmp_path / "runs", undisturbed_on_second), "the second node has a run")
        slurm.kill_node("gl2")
        down = ["sinfo", "-h", "-n", "gl2", "-o", "%T"]
        until(lambda: "down" in subprocess.check_output(down, text=True), "Slurm sees that the node is dead", 90)
        slurm.start_node("gl2")
        assert sweep.wait(500) == 0
    assert_same(tmp_path / "runs", whole)
    assert_begun_twice(tmp_path / "runs", preempted, displaced, lost)
    assert not running_jobs()


def undisturbed(run: Run) -> bool:
    return run.status["attempts"] == 1


def undisturbed_on_second(run: Run) -> bool:
    return undisturbed(run) and run.status["host"] == "gl2"


def cut_off(run: Run) -> bool:
    return run.state == "preempted" or run.status.get("attempts", 1) > 1


def test_a_run_that_needs_more_time_than_a_job_has(slurm, tmp_path):
    """Its training waits until the time of its first job is up, however fast the machine is."""
    waiting, file = hold(tmp_path, 700)
    longer = ["train", "-m", *(item for item in RUN if not item.startswith("task=")), *waiting]
    sweeps = []
    for name in ("cut", "whole"):
        (tmp_path / name).mkdir()
    try:
        jobs = [*ON_SLURM, "hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=15"]
        sweeps.append(start(tmp_path / "cut", *longer, *jobs))
        until(lambda: any(map(cut_off, find_runs([tmp_path / "cut"])[0])), "its time was up")
        file.unlink()
        sweeps.append(start(tmp_path / "whole", *longer))
        assert [sweep.wait(500) for sweep in sweeps] == [0, 0], (tmp_path / "cut" / "said.txt").read_text()
    finally:
        for sweep in sweeps:
            sweep.kill()
    cut, whole = (run_of(tmp_path / name / "runs") for name in ("cut", "whole"))
    assert cut.status["attempts"] > 1
    assert_same_run(cut, whole)


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


def second_task() -> int:
    """The process of the job's second task."""
    found = []
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            environ = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            if b"SLURM_PROCID=1" in environ and b"submitit" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(int(pid))
    return min(found)


def test_a_run_on_two_nodes_is_that_of_torchrun(slurm, tmp_path):
    torchrun = [str(Path(sys.executable).parent / "torchrun"), "--nproc-per-node=2", "-m", "gatelab", "train"]
    subprocess.run([*torchrun, *RUN, f"out={tmp_path / 'here'}"], check=True, env=environment(), timeout=300)
    sweep = start(tmp_path, "train", *ON_TWO_NODES, *RUN)
    try:
        preempted = until(lambda: training(tmp_path / "runs"), "the run is being trained", 120)
        jobs = subprocess.check_output(["squeue", "-h", "-t", "R", "-o", "%i %D"], text=True).split()
        assert jobs[1] == "2"
        subprocess.run(["scancel", "--signal=USR2", f"{jobs[0]}.0"], check=True)
        until(lambda: read_run(preempted.path).state == "preempted", "the run is preempted", 30)
        until(lambda: training(tmp_path / "runs"), "the run goes on", 120)
        os.kill(second_task(), signal.SIGKILL)
        until(lambda: read_run(preempted.path).state == "preempted", "the first process sees that the second is gone", 30)
        assert sweep.wait(300) == 0
    except BaseException:
        print((tmp_path / "said.txt").read_text(), slurm.log())
        print(*(path.read_text() for path in (tmp_path / "runs" / "sweeps").rglob("*.err")))
        raise
    finally:
        sweep.kill()
    found, expected = read_run(preempted.path), run_of(tmp_path / "here")
    assert found.status["attempts"] == 3
    assert_same_run(found, expected)


def test_a_batch_that_cannot_be_shared_out_is_not_submitted(slurm, tmp_path):
    sweep = start(tmp_path, "train", *ON_TWO_NODES, *RUN, "trainer.batch_size=1")
    assert sweep.wait(120) == 2
    said = (tmp_path / "said.txt").read_text()
    assert "A batch of 1 rows cannot be divided among 2 processes" in said
    assert "Traceback" not in said
