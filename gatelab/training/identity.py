"""The identity of a run: the one place that computes it, for the command line and for training."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatelab.cells import CELLS
from gatelab.errors import UserError
from gatelab.options import derived_at_default
from gatelab.registry import Registry
from gatelab.registry.plugins import Plugin, load_plugin, loaded
from gatelab.runs import identity, roles, run_name
from gatelab.tasks import TASKS

KINDS: dict[str, Registry[Any]] = {"cell": CELLS, "task": TASKS, "match_to": CELLS}  # by role


@dataclass(frozen=True)
class Identity:
    """What decides the result of a run.

    Attributes:
        run_id: its hash.
        name: the name of the run directory, which ends with the hash.
        plugins: the user's files that the run uses, by role: "cell", "task", "match_to".
        data_hashes: SHA-256 by data file, for a task that is not gatelab's own; the data of its own tasks are fixed.
        left_out: the options of the cell that do not count, because they are derived from its declarations and have their default:
            runs of a version that did not derive them are the same runs.
    """

    run_id: str
    name: str
    plugins: Mapping[str, Plugin]
    data_hashes: Mapping[str, str]
    left_out: Sequence[str] = ()

    def copies(self) -> dict[str, bytes]:
        """The copies of plugins in the run directory: contents by path."""
        kept = {path: role for role, path in reversed([(role, plugin.path) for role, plugin in self.plugins.items()])}
        return {
            f"plugins/{role}/{name}": content
            for path, role in kept.items()
            for plugin in (self.plugins[role],)
            for name, content in plugin.sources.items()
        }


_remembered: list[dict[str, tuple[dict[str, Plugin], dict[str, str]]]] = []  # one at most


@contextlib.contextmanager
def remembering() -> Iterator[None]:
    """Within the block, files are read and data are hashed once for all configurations that share them."""
    _remembered.append({})
    try:
        yield
    finally:
        _remembered.pop()


def identify(config: Mapping[str, Any]) -> Identity:
    """Loads the plugins that a run uses, and computes its identity; other plugins of its command are not loaded.

    Args:
        config: the resolved configuration, plain containers.

    Raises:
        UserError: a plugin cannot be loaded, the cell does not exist, or the task cannot hash its data.
    """
    plugins, data = _origin(config)
    left_out = derived_at_default(CELLS.get(config["cell"]["name"]), config["cell"])
    cell = {name: value for name, value in config["cell"].items() if name not in left_out}
    run_id = identity({**config, "cell": cell}, {plugin.digest for plugin in plugins.values()}, data)
    return Identity(run_id, run_name(config, run_id), plugins, data, left_out)


def _origin(config: Mapping[str, Any]) -> tuple[dict[str, Plugin], dict[str, str]]:
    key = json.dumps([config["plugins"], roles(config), config["task"]], sort_keys=True)
    if _remembered and key in _remembered[-1]:
        return _remembered[-1][key]
    names = roles(config)
    for path in config["plugins"]:
        if Path(path).stem in names.values():
            load_plugin(path, (CELLS, TASKS))
    found = {role: loaded(KINDS[role].source(name) or "") for role, name in names.items()}
    plugins = {role: plugin for role, plugin in found.items() if plugin is not None}
    data = {} if TASKS.is_built_in(names["task"]) else _data_hashes(config["task"])
    if _remembered:
        _remembered[-1][key] = plugins, data
    return plugins, data


def _data_hashes(options: Mapping[str, Any]) -> dict[str, str]:
    task = TASKS.build(**options)
    try:
        found = task.data_hashes()
        return {str(name): str(digest) for name, digest in found.items()}
    except UserError:
        raise
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        raise UserError(
            f"Task '{options['name']}': data_hashes() must return the SHA-256 of every data file by name, but it raised {what}"
        ) from error
