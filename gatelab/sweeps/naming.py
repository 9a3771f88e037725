"""The grammar of a cell or a task with options: `lstm`, `attention cell.window=3`, `cell=lstm,gru`, `mycell.py`.

Hydra reads options; it is imported by the functions that need it, because a name alone is read without.
"""

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from gatelab.errors import UserError, unknown
from gatelab.registry.plugins import load_plugin
from gatelab.sweeps.jobs.conf import REGISTRIES

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

KINDS = ("cell", "task")


def apart(words: Sequence[str]) -> Iterator[list[str]]:
    """The words of each name: the name itself, and all options."""
    options = [word for word in words if "=" in word]
    yield from [[word, *options] for word in words if "=" not in word] or [options]


def overrides_of(words: Sequence[str], kinds: Sequence[str] = KINDS) -> "list[Override]":
    """The overrides of `gatelab train` that the words stand for. Plugins are loaded.

    Args:
        words: `key=value`, the name of a cell or a task, or a Python file that defines one.
        kinds: what a name can be of.

    Raises:
        UserError: a word cannot be read, or there is nothing of a name.
    """
    from gatelab.sweeps.jobs import compose

    files = [compose.quoted(word) for word in words if "=" not in word and word.endswith(".py")]
    written = [word for word in words if "=" in word] + ([f"plugins=[{','.join(files)}]"] if files else [])
    overrides = compose.parse(written)
    plugins = {plugin.path.name: plugin.name for plugin in compose.load_plugins(overrides)}
    names = [plugins.get(word.rpartition("/")[2], word) for word in words if "=" not in word]
    return overrides + compose.parse([f"{kind}={name}" for name in names for kind in _kinds_of(name, kinds)])


def plugins_of(words: Sequence[str]) -> list[str]:
    """The Python files among the words."""
    from gatelab.sweeps.jobs import compose

    overrides = compose.parse([word for word in words if "=" in word])
    files = [word for word in words if "=" not in word and word.endswith(".py")]
    return files + [path for override in overrides for path in compose.plugins_of(override)]


def _kinds_of(name: str, kinds: Sequence[str]) -> list[str]:
    if len(kinds) == 1:
        return [*kinds]
    found = [kind for kind in kinds if name in REGISTRIES[kind]]
    if not found:
        raise UserError(unknown(" or ".join(kinds), name, [known for kind in kinds for known in REGISTRIES[kind].names()]))
    return found


def entries_of(words: Sequence[str], command: str, kinds: Sequence[str] = KINDS) -> list[tuple[str, str, Any]]:
    """Kind, name and object of the cell and the task that the words name.

    Args:
        words: as for `overrides_of`.
        command: for the message.
        kinds: as for `overrides_of`.

    Raises:
        UserError: they name none, or several of a kind, or something that cannot be built.
    """
    if len(words) == 1 and "=" not in words[0]:
        return by_name(words[0], kinds)
    from gatelab.sweeps.jobs import compose
    from gatelab.training.spec import Spec

    overrides = overrides_of(words, kinds)
    named = [override for override in overrides if override.key_or_group in kinds]
    several = len({override.key_or_group for override in named}) < len(named)
    if not named or several or any(override.is_sweep_override() for override in named):
        what = "one cell" if len(kinds) == 1 else "a cell or a task"
        raise UserError(f"{command}: name {what}, as in `gatelab {command} cifg cell.peepholes=true`.")
    compose.register_schemas()
    spec = Spec(compose.compose_job(overrides))
    parts = {"cell": (spec.config.cell, lambda: spec.cell), "task": (spec.config.task, lambda: spec.task)}
    return [(item.key_or_group, parts[item.key_or_group][0]["name"], parts[item.key_or_group][1]()) for item in named]


def by_name(entry: str, kinds: Sequence[str] = KINDS) -> list[tuple[str, str, Any]]:
    """As `entries_of` of a name or a file: the cell and the task, with default options and without Hydra.

    Raises:
        UserError: there is nothing of that name, the file cannot be loaded, or it breaks its contract.
    """
    found = {kind: entry for kind in kinds if entry in REGISTRIES[kind]}
    if entry.endswith(".py"):
        plugin = load_plugin(entry, REGISTRIES.values())
        source = os.path.realpath(plugin.path)
        found = {kind: plugin.name for kind in kinds if REGISTRIES[kind].source(plugin.name) == source}
    if not found:
        raise UserError(unknown(" or ".join(kinds), entry, [name for kind in kinds for name in REGISTRIES[kind].names()]))
    return [(kind, name, REGISTRIES[kind].build(name)) for kind, name in found.items()]


def cells_of(words: Sequence[str]) -> list[tuple[str, dict[str, Any]]]:
    """Name and options of every cell that the words stand for; several values are several cells. All cells for no words.

    Raises:
        UserError: an unknown cell or option, or a word that is not about a cell.
    """
    from gatelab.sweeps.jobs import compose
    from gatelab.sweeps.jobs.choices import check_groups
    from gatelab.sweeps.search.expand import expand

    found = []
    for group in apart(words) if words else ():
        overrides = overrides_of(group, ("cell",))
        for override in overrides:
            if override.key_or_group.partition(".")[0] not in ("cell", "plugins"):
                raise UserError(f"bench: '{override.input_line}' is not about a cell. Write cell=NAME cell.OPTION=VALUE.")
        if sum(override.key_or_group == "cell" for override in overrides) > 1:
            raise UserError("bench: there are cells by name and with cell=. Write all of them in one way, as in cell=lstm,gru.")
        check_groups(overrides)
        for made in expand(overrides, sweep=True):
            values = {item.key_or_group: item.value() for item in compose.parse(made)}
            options = {key.partition(".")[2]: value for key, value in values.items() if key.startswith("cell.")}
            found += [(name, options) for name in ([values["cell"]] if "cell" in values else REGISTRIES["cell"].names())]
    return found or [(name, {}) for name in REGISTRIES["cell"].names()]
