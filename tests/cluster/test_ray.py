"""The launcher `ray` on a real Ray cluster of two nodes, one of which dies; Ctrl-C; no cluster."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster.hosts import until
from cluster.sweeping import SWEEP, assert_begun_twice, assert_same, start, states, stopped_by_ctrl_c, sweeping, training
from cluster.virtual_ray import ADDRESS, ENVIRONMENT, Ray

from gatelab.runs import read_run

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
    with sweeping(tmp_path, *ON_RAY) as sweep:
        lost = until(lambda: training(tmp_path / "runs", lambda run: run.status["host"] == "gr2"), "the second node has a run")
        ray.kill_node("gr2")
        assert sweep.wait(500) == 0
    assert_same(tmp_path / "runs", whole)
    assert_begun_twice(tmp_path / "runs", lost)
    assert read_run(lost.path).status["host"] == "gr1"


def test_ctrl_c_stops_the_runs_and_the_sweep_can_go_on(ray, tmp_path):
    stopped = stopped_by_ctrl_c(tmp_path, 90, *ON_RAY)
    assert read_run(stopped.path).state == "preempted"
    assert "queued" in states(tmp_path / "runs")
    assert "running" not in states(tmp_path / "runs")


def test_without_a_cluster_it_says_how_to_start_one(tmp_path):
    sweep = start(tmp_path, *SWEEP, *ON_RAY)
    assert sweep.wait(120) == 2
    said = (tmp_path / "said.txt").read_text()
    assert "ray start --head" in said
    assert "Traceback" not in said
