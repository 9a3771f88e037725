"""Sweeps on real clusters, compared with the same sweep on this machine that nothing disturbed. Run by scripts/test_cluster.sh."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster.hosts import until
from cluster.sweeping import SWEEP, start, states
from cluster.virtual_slurm import PROGRAMS, Slurm


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep on this machine, undisturbed; by several pytest processes, where there are, as two commands share one."""
    shared = tmp_path_factory.getbasetemp()
    runs = (shared.parent if "PYTEST_XDIST_WORKER" in os.environ else shared) / "undisturbed"
    folder = tmp_path_factory.mktemp("whole")
    process = start(folder, *SWEEP, f"out={runs}")
    assert process.wait(600) == 0, (folder / "said.txt").read_text()
    until(lambda: states(runs) == {"finished"}, "the others have finished their share")
    return runs


@pytest.fixture(params=[True], ids=["accounting"])
def slurm(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Slurm]:
    """A Slurm of two nodes; `request.param`: whether with accounting."""
    missing = [program for program in PROGRAMS if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"a real Slurm needs root and {', '.join(missing) or 'its programs'}: see scripts/test_cluster.sh")
    cluster = Slurm(tmp_path / "slurm", request.param)
    try:
        yield cluster
    finally:
        cluster.stop()
