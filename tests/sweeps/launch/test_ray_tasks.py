"""The launcher `ray` where submitting fails, with a stand-in for Ray; tests/cluster/test_ray.py has a real one."""

import importlib
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

import gatelab
from gatelab.runs import outcome_of
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.launch.batch import JobBatch
from gatelab.sweeps.launch.job import JobFunction
from gatelab.sweeps.search.expand import compose_jobs

TINY = ["cell=rnn", "task=adding", "task.length=4", "model.hidden_size=2", "logger=none", "sweep=s", "seed=0,1,2"]


class Ray(types.ModuleType):
    """Takes as many tasks as it is told to, and remembers which were taken back."""

    def __init__(self, takes: int) -> None:
        super().__init__("ray")
        self.takes = takes
        self.submitted: list[int] = []
        self.cancelled: list[int] = []
        self.exceptions = types.ModuleType("ray.exceptions")

    def is_initialized(self) -> bool:
        return False

    def init(self, **options: Any) -> None:
        self.folder = Path.cwd()

    def put(self, value: Any) -> Any:
        return value

    def remote(self, **options: Any) -> Any:
        return lambda function: types.SimpleNamespace(remote=self._submit)

    def _submit(self, *arguments: Any) -> int:
        if len(self.submitted) == self.takes:
            raise ConnectionError("The head is gone.")
        self.submitted.append(len(self.submitted))
        return self.submitted[-1]

    def cancel(self, reference: int) -> None:
        self.cancelled.append(reference)

    def wait(self, references: list[Any], **options: Any) -> Any:
        return references, []


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ray]:
    module = Ray(takes=2)
    monkeypatch.setitem(sys.modules, "ray", module)
    monkeypatch.setitem(sys.modules, "ray.exceptions", module.exceptions)
    monkeypatch.delitem(sys.modules, "gatelab.sweeps.launch.ray_tasks", raising=False)
    yield module
    sys.modules.pop("gatelab.sweeps.launch.ray_tasks", None)


def test_workers_do_not_import_from_the_current_folder(ray: Ray, tmp_path, monkeypatch: pytest.MonkeyPatch):
    """Ray puts the folder of whoever joins in front of the path of its workers."""
    monkeypatch.chdir(tmp_path)
    importlib.import_module("gatelab.sweeps.launch.ray_tasks").connect({})
    assert ray.folder == Path(gatelab.__file__).parents[1]
    assert Path.cwd() == tmp_path


def test_what_was_submitted_before_an_error_is_taken_back(ray: Ray, tmp_path, monkeypatch: pytest.MonkeyPatch):
    launcher = importlib.import_module("gatelab.sweeps.launch.ray_tasks")
    compose.register_schemas()
    jobs = compose_jobs(compose.parse([*TINY, f"out={tmp_path}"]), sweep=True)
    assert len(jobs) == 3

    settings = {"ray": {"init": {}, "remote": {}}}
    overrides = [[*job.overrides] for job in jobs]
    context: Any = None
    with pytest.raises(ConnectionError, match="The head is gone"):
        launcher.train(JobBatch("ray", settings, overrides, jobs, 0, context, OmegaConf.create({}), JobFunction()))
    assert ray.cancelled == [0, 1]
    assert [outcome_of(job.path) for job in jobs] == ["queued"] * 3
