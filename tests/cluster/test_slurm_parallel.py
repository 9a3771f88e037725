"""One run in two processes on the two nodes of a real Slurm, disturbed on the way: the same bits as with torchrun."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from hosts import until
from sweeping import environment, run_of, start, training, weights_of, without_times

from gatelab.runs import read_run

RUN = ["cell=lstm", "task=adding", "task.length=20", "model.hidden_size=16", "model.dropout=0.2", "trainer.max_steps=1500"]
RUN += ["trainer.val_every=50", "trainer.patience=null", "logger=none"]
ON_TWO_NODES = ["-m", "hydra/launcher=slurm", "hydra.launcher.nodes=2", "hydra.launcher.tasks_per_node=1", "sweep=s"]


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
    assert found.state == "finished"
    assert found.status["attempts"] == 3
    assert found.summary()["test"] == expected.summary()["test"]
    assert without_times(found) == without_times(expected)
    weights, others = weights_of(found), weights_of(expected)
    assert all((weights[name] == others[name]).all() for name in others)


def test_a_batch_that_cannot_be_shared_out_is_not_submitted(slurm, tmp_path):
    sweep = start(tmp_path, "train", *ON_TWO_NODES, *RUN, "trainer.batch_size=1")
    assert sweep.wait(120) == 2
    said = (tmp_path / "said.txt").read_text()
    assert "A batch of 1 rows cannot be shared out to 2 processes" in said
    assert "Traceback" not in said
