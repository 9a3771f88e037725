"""The configuration of a run with the objects that it names."""

import pytest

from gatelab.cells import CELLS
from gatelab.registry import Registry
from gatelab.runs import identity, run_name
from gatelab.tasks import TASKS
from gatelab.training import spec as specs
from gatelab.training.fit import fit
from gatelab.training.spec import Spec


def test_cell_and_task_are_built_once_for_a_whole_run(small, monkeypatch: pytest.MonkeyPatch):
    built = []
    build = Registry.build

    def counted(registry, name, **options):
        built.append(registry.kind)
        return build(registry, name, **options)

    monkeypatch.setattr(Registry, "build", counted)
    fit(small(trainer={"max_steps": 2}))
    assert sorted(built) == ["cell", "task"]


def test_each_part_is_made_when_it_is_first_used(small, monkeypatch: pytest.MonkeyPatch):
    spec = Spec(small(task={"name": "absent"}))
    assert spec.cell is spec.cell
    assert spec.cell == CELLS.build("lstm", forget_bias=1.0)
    monkeypatch.setattr(specs, "identify", None)
    whole = Spec(small(data_seed=5))
    assert whole.task is whole.task
    assert whole.task == TASKS.build("adding", length=8)
    assert (whole.data_seed, Spec(small(seed=3)).data_seed) == (5, 3)


def test_the_directory_is_named_by_the_identity(small):
    config = small(sweep="some")
    spec = Spec(config)
    assert spec.plain["sweep"] == "some"
    assert spec.identity.run_id == identity(spec.plain)
    assert str(spec.path) == f"{config.out}/{run_name(spec.plain, spec.identity.run_id)}"
