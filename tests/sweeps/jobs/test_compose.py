"""Every YAML file composes and builds, and the options of cells and tasks are Hydra's."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore

from gatelab.config import GROUPS, Config
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.search.expand import compose_jobs
from gatelab.training.prepare import build_model
from gatelab.training.spec import Spec

FOLDER = compose.conf_folder()
CHOICES = [
    f"{group}={path.relative_to(FOLDER / group).with_suffix('')}"
    for group in ("experiment", "trainer", "logger")
    for path in sorted((FOLDER / group).rglob("*.yaml"))
]


def config_of(*overrides: str) -> Config:
    compose.register_schemas()
    return compose.compose_job(compose.parse(list(overrides)))


def test_there_is_something_to_test():
    assert "experiment=demo/adding" in CHOICES
    assert "trainer=debug" in CHOICES


@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES)
def test_every_yaml_builds_a_model(choice):
    config = config_of(choice)
    model = build_model(Spec(config))
    assert sum(parameter.numel() for parameter in model.parameters()) > 0


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.yaml")), ids=lambda path: str(path.relative_to(FOLDER)))
def test_every_yaml_fits_on_one_screen(path):
    assert len(path.read_text().splitlines()) <= 40


def examples(cls: type) -> dict[str, object]:
    """For every option a value that is not its default."""
    other = {bool: lambda value: not value, int: lambda value: value + 1, float: lambda value: value + 0.5}
    found = {}
    for field in fields(cls):  # type: ignore[arg-type]
        choices = field.metadata.get("choices")
        if choices:
            found[field.name] = next(choice for choice in choices if choice != field.default)
        elif type(field.default) in other:
            found[field.name] = other[type(field.default)](field.default)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("group", "name"), [(group, name) for group, registry in compose.REGISTRIES.items() for name in registry.names()]
)
def test_options_are_the_fields(group, name):
    cls = compose.REGISTRIES[group].get(name)
    given = examples(cls)
    config = config_of(f"{group}={name}", *(f"{group}.{option}={value}" for option, value in given.items()))
    assert {option: getattr(config, group)[option] for option in given} == given
    assert set(getattr(config_of(f"{group}={name}"), group)) == {"name"} | {field.name for field in fields(cls)}


@pytest.mark.parametrize(("group", "name"), [(group, name) for group, choices in GROUPS.items() for name in choices])
def test_every_choice_composes(group, name):
    cls = GROUPS[group][name]
    for field in fields(cls):  # type: ignore[arg-type]
        if isinstance(field.default, float):
            config = config_of(f"{group}={name}", f"{group}.{field.name}={field.default / 2}")
            assert getattr(getattr(config, group), field.name) == field.default / 2
    assert type(getattr(config_of(f"{group}={name}"), group)) is cls


def test_an_entry_of_hydra_is_made_once_and_again_if_another_took_its_place(monkeypatch: pytest.MonkeyPatch):
    compose.register_schemas()
    entries = ConfigStore.instance().repo["cell"]
    first = entries["lstm.yaml"]
    compose.register_schemas()
    assert entries["lstm.yaml"] is first
    monkeypatch.setitem(entries, "lstm.yaml", entries["gru.yaml"])
    compose.register_schemas()
    assert entries["lstm.yaml"] is not entries["gru.yaml"]
    assert entries["lstm.yaml"].node == first.node


def test_the_jobs_of_a_sweep_have_directories_of_their_own(tmp_path):
    compose.register_schemas()
    overrides = compose.parse(["cell=lstm,cifg", "seed=range(3)", f"out={tmp_path}", "task.length=7"])
    jobs = compose_jobs(overrides, sweep=True)
    assert len({job.path for job in jobs}) == 6
    assert all(job.path.parent == Path(tmp_path) for job in jobs)
    assert {(job.config.cell["name"], job.config.seed) for job in jobs} == {(c, s) for c in ("lstm", "cifg") for s in range(3)}


def test_a_plugin_is_a_cell_like_any_other(plugin):
    overrides = compose.parse([f"plugins=[{plugin}]", "cell=damped", "cell.scale=0.5"])
    compose.load_plugins(overrides)
    compose.register_schemas()
    config = compose.compose_job(overrides)
    cell: Any = Spec(config).cell
    assert cell.scale == 0.5


def test_another_plugin_of_the_same_name_is_another_run(plugin, tmp_path):
    arguments = [f"plugins=[{plugin}]", "cell=damped", f"out={tmp_path}", "task.length=7"]
    overrides = compose.parse(arguments)
    compose.load_plugins(overrides)
    compose.register_schemas()
    first = compose_jobs(overrides, sweep=False)[0].path
    plugin.write_text(plugin.read_text().replace("(1 - f)", "f"))
    assert compose_jobs(overrides, sweep=False)[0].path != first
