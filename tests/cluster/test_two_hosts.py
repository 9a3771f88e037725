"""Two hosts with one shared folder are given the same sweep; one of them dies."""

import subprocess
import time
from functools import partial
from pathlib import Path

from cluster.hosts import kill_host, on_host, until
from cluster.sweeping import GATELAB, SWEEP, assert_begun_twice, assert_same, environment, training

from gatelab.runs import Run, find_runs
from gatelab.runs.lock import LOCK_SILENT_SECONDS

SHARED = [*SWEEP, "sweep=s"]
HOSTS = ("gs1", "gs2")


def on_its_own(folder: Path, host: str) -> Run | None:
    """A run that is being trained there."""
    return training(folder, lambda run: run.status["host"] == host)


def test_no_run_is_trained_twice_and_those_of_a_dead_host_go_on(whole, tmp_path):
    said = {name: tmp_path / f"{name}.txt" for name in HOSTS}
    sweeps = {}
    for name in HOSTS:
        with open(said[name], "w") as file:
            command = [*on_host(name), GATELAB, *SHARED, "hydra.launcher.n_jobs=1"]
            sweeps[name] = subprocess.Popen(command, cwd=tmp_path, stdout=file, stderr=file, env=environment())
    try:
        begun = {name: until(partial(on_its_own, tmp_path / "runs", name), f"{name} has a run") for name in HOSTS}
        living, dead = HOSTS
        kill_host(sweeps[dead].pid)
        killed = time.monotonic()
        assert sweeps[living].wait(600) == 0, said[living].read_text()
    finally:
        for sweep in sweeps.values():
            sweep.kill()
            sweep.wait()
    states = {run.path: run.state for run in find_runs([tmp_path / "runs"])[0]}
    assert states.pop(begun[dead].path) == "running"  # nobody was there to note anything else
    assert {*states.values()} == {"finished"}
    assert f"on {dead}." in said[living].read_text()
    # From here another host can only tell by its silence that the holder of the lock is dead.
    time.sleep(max(0.0, killed + LOCK_SILENT_SECONDS + 5 - time.monotonic()))
    again = subprocess.run([GATELAB, *SHARED], cwd=tmp_path, capture_output=True, text=True, env=environment())
    assert again.returncode == 0, again.stderr
    assert_same(tmp_path / "runs", whole)
    assert_begun_twice(tmp_path / "runs", begun[dead])
