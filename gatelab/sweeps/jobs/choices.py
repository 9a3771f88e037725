"""The choices of `gatelab train` by group: cells, tasks, optimisers, launchers and others. Registers them with Hydra."""

import importlib
import sys
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

import hydra
from hydra.core.config_store import ConfigNode, ConfigStore
from hydra.core.override_parser.types import Override, ValueType
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from gatelab.config import GROUPS, Config
from gatelab.errors import UserError, unknown
from gatelab.options import schema
from gatelab.sweeps.contracts import sweeper_class
from gatelab.sweeps.jobs.conf import OF_HYDRA, REGISTRIES, default_choice, own_choices
from gatelab.sweeps.jobs.overrides import check_options, given

# Hydra makes launchers and sweepers from a class of this module, which looks the name up again.
PLUGINS = "hydra_plugins.gatelab_registered"
_REPLACE: dict[str, Any] = {} if hydra.__version__.startswith("1.3") else {"replace": True}  # what an earlier call stored


def _offer_hydra_plugins() -> None:
    """Adds the folder of gatelab's plugins to the namespace `hydra_plugins`, where Hydra looks for them."""
    folder = str(Path(__file__).parents[1] / "plugins")
    if folder not in sys.path:
        sys.path.append(folder)


_offer_hydra_plugins()  # at import: Hydra looks once, before the first configuration is composed


def store_choices() -> None:
    """Tells Hydra the options of every cell, task and other choice, and the shape of a whole run."""
    _store(None, "schema", Config)
    for group, choices in GROUPS.items():
        for name, cls in choices.items():
            _store(group, name, cls)
    for group in REGISTRIES:
        repository = ConfigStore.instance().repo
        if not isinstance(repository.get(group), _Registered):
            repository[group] = _Registered(group, repository.get(group, {}))
        repository[group].look()
    _offer_hydra_plugins()  # again: multiprocessing gives a forked process the search path of its parent
    plugins, module = Plugins.instance(), importlib.import_module(PLUGINS)
    for group, registry in OF_HYDRA.items():
        for name in registry.names():
            if (cls := registry.get(name)).hydras:
                continue
            target = f"{registry.kind.capitalize()}_{name}"
            plugins.register(getattr(module, target))
            ConfigStore.instance().store(group=group, name=name, node=_node(cls, f"{PLUGINS}.{target}"), **_REPLACE)


class _Registered(dict[str, Any]):
    """The choices of a group of Hydra's that are the names of a registry.

    The options of one are made when Hydra asks for them: to import every cell would take longer than all else that a short command
    does.
    """

    def __init__(self, group: str, others: dict[str, Any]) -> None:
        super().__init__(others)
        self._group = group

    def look(self) -> None:
        """Reads the names again: a command may have added plugins. Theirs are made at once, for processes that do not read them."""
        registry = REGISTRIES[self._group]
        for name in registry.names():
            self.setdefault(f"{name}.yaml", None)
            if not registry.is_built_in(name):
                self[f"{name}.yaml"]

    def __getitem__(self, file: str) -> Any:
        found, name, registry = super().__getitem__(file), file.removesuffix(".yaml"), REGISTRIES[self._group]
        if found is not None and name not in registry.names():  # in the process of a job, which has not read its plugins yet
            return found
        cls = schema(registry.get(name), name)
        if found is None or OmegaConf.get_type(found.node) is not cls:
            node = OmegaConf.structured(cls)
            found = self[file] = ConfigNode(name=file, node=node, group=self._group, package=None, provider=None)
        return found


def _store(group: str | None, name: str, cls: type) -> None:
    """Stores a dataclass, unless Hydra has it: a process may call many commands, and most have the same choices."""
    store = ConfigStore.instance()
    entry: Any = store.repo
    for part in [*(group.split("/") if group else ()), f"{name}.yaml"]:
        entry = entry.get(part, {})
    if not entry or OmegaConf.get_type(entry.node) is not cls:
        store.store(group=group, name=name, node=cls, **_REPLACE)


def _node(cls: Any, target: str) -> dict[str, Any]:
    """Hydra's configuration of a launcher or sweeper; `settings.read` checks values before Hydra does."""
    extends = getattr(cls, "extends", None)
    node: dict[str, Any] = {"defaults": [extends]} if extends else {}
    node["_target_"] = target
    for field in fields(cls):
        node[field.name] = field.default if field.default_factory is MISSING else field.default_factory()
    return node


def launcher_name(overrides: list[Override]) -> str:
    """Hydra's name for the launcher of a sweep."""
    return str(given(overrides, "hydra/launcher", default_choice("hydra/launcher")))


def sweeper_name(overrides: list[Override]) -> str:
    """Hydra's name for the sweeper."""
    return str(given(overrides, "hydra/sweeper", default_choice("hydra/sweeper")))


def groups() -> dict[str, list[str]]:
    """The available choices by group."""
    found = own_choices()
    Plugins.instance()  # makes Hydra's own launchers and sweepers, and those of other packages, add themselves to the store
    for group in OF_HYDRA:
        others = [name.removesuffix(".yaml") for name in ConfigStore.instance().list(group)]
        found[group] = list(dict.fromkeys([*found[group], *others]))
    return found


def check_groups(overrides: list[Override]) -> None:
    """Checks names of groups (cell, task, trainer, ...), because Hydra's message for them fills a screen.

    Raises:
        UserError: the cell, task, ... does not exist, or it lacks a given option.
    """
    known = groups()
    for override in overrides:
        key, text = override.key_or_group, override.input_line
        if override.is_delete():
            raise UserError(f"'{text}' would delete something that a run needs. Leave it out: every option has a default.")
        if override.package is not None:
            raise UserError(f"'{text}' moves a part of the configuration, which is not accepted. Write {key}=VALUE.")
        if override.value_type == ValueType.GLOB_CHOICE_SWEEP:
            choices = ",".join(known.get(key, ("a", "b")))
            raise UserError(f"'{text}': glob is not accepted. List the values, as in {key}={choices}.")
        if key not in known:
            continue
        values = override.sweep_string_iterator() if override.is_sweep_override() else [override.value()]
        for value in values:
            name = "null" if value is None else str(value)
            if not isinstance(value, str) or name not in known[key]:
                raise UserError(unknown(key, name, known[key]))
    if not sweeper_class(sweeper_name(overrides)).searches:  # the space of a search has conditions
        check_options(overrides, options_of)


def options_of(group: str, choice: str) -> list[str] | None:
    """The options of a choice that is a class, such as a cell or a task; None for one that is a file."""
    if group not in (*REGISTRIES, *GROUPS):
        return None
    cls: Any = REGISTRIES[group].get(choice) if group in REGISTRIES else GROUPS[group][choice]
    return [field.name for field in fields(cls) if field.name != "name"]
