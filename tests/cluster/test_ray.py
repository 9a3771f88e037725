"""The launcher `ray` on a real Ray cluster of two nodes, one of which dies; Ctrl-C; no cluster."""

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hosts import until
from sweeping import SWEEP, assert_same, start, training
from virtual_ray import ADDRESS, ENVIRONMENT, Ray

from gatelab.runs import find_runs, read_run

ON_RAY = ["hydra/launcher=ray", f"hydra.launcher.ray.init.address={ADDRESS}", "sweep=s"]


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ray]:
    program = shutil.which("ray", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("Ray is not installed: pip install 'gatelab[ray]'")
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    cluster = Ray(program)
    try:
        yield cluster
    finally:
        cluster.stop()


def test_the_runs_of_a_dead_node_end_as_if_nothing_had_been(ray, whole, tmp_path):
    sweep = start(tmp_path, *SWEEP, *ON_RAY)
    try:
        lost = until(lambda: training(tmp_path / "runs", lambda run: run.status["host"] == "gr2"), "the second node has a run")
        ray.kill_node("gr2")
        assert sweep.wait(500) == 0
    except BaseException:
        print((tmp_path / "said.txt").read_text())
        raise
    finally:
        sweep.kill()
    assert_same(tmp_path / "runs", whole)
    attempts = {run.path.name: run.status["attempts"] for run in find_runs([tmp_path / "runs"])[0]}
    assert attempts.pop(lost.path.name) == 2
    assert {*attempts.values()} == {1}
    assert read_run(lost.path).status["host"] == "gr1"


def test_ctrl_c_stops_the_runs_and_the_sweep_can_go_on(ray, tmp_path):
    sweep = start(tmp_path, *SWEEP, *ON_RAY)
    try:
        stopped = until(lambda: training(tmp_path / "runs"), "a run is being trained")
        sweep.send_signal(signal.SIGINT)
        assert sweep.wait(90) == 130
    finally:
        sweep.kill()
    assert read_run(stopped.path).state == "preempted"
    states = [run.state for run in find_runs([tmp_path / "runs"])[0]]
    assert "queued" in states
    assert "running" not in states


def test_without_a_cluster_it_says_how_to_start_one(tmp_path):
    sweep = start(tmp_path, *SWEEP, *ON_RAY)
    assert sweep.wait(120) == 2
    said = (tmp_path / "said.txt").read_text()
    assert "ray start --head" in said
    assert "Traceback" not in said
