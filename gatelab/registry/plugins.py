"""Users' own files: read with the modules beside them that they import, told apart by what they compute, and loaded.

A plugin is a Python file that defines a cell or a task; its file stem is the name in the registry. It may import the modules in
its own folder. They are found for it alone: the folder never enters `sys.path`, a module of the standard library or of an
installed package wins over one beside the plugin, and files of one name beside two plugins are two modules.

Reading executes nothing, so that a file can be compared with what a run was trained with, and shown to the user, before it runs.
"""

import contextlib
import os
import types
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gatelab.errors import UserError
from gatelab.registry import Registry
from gatelab.registry._importing import modules
from gatelab.registry._reading import Plugin, absolute, read_plugin

__all__ = ["Plugin", "absolute", "load_plugin", "loaded", "only_for_now", "read_plugin"]

_loaded: dict[str, Plugin] = {}  # by the real path


def load_plugin(path: str | Path | Plugin, registries: Iterable[Registry[Any]]) -> Plugin:
    """Loads a user's file and adds what it defines under its file stem.

    A file that was loaded before is executed again only when it, or a module beside it that it imports, has changed.

    Args:
        path: a Python file that defines one entry of at least one of the registries, or what `read_plugin` has read of it.
        registries: where to look for a home for the classes found.

    Returns:
        What was read: its digest enters the identity of a run, since other equations are another run.

    Raises:
        UserError: the file is missing, cannot be imported or defines nothing that fits. Nothing of it stays behind.
    """
    registries = tuple(registries)
    plugin = path if isinstance(path, Plugin) else read_plugin(path)
    before = [(registry, registry.added()) for registry in registries]
    with modules(plugin) as module:
        try:
            _register(plugin, module, registries)
        except UserError:
            for registry, entries in before:
                registry.restore(entries)
            raise
    _loaded[os.path.realpath(plugin.path)] = plugin
    return plugin


def loaded(source: str) -> Plugin | None:
    """The plugin behind a `Registry.source`; None if that is not a file that `load_plugin` has loaded."""
    return _loaded.get(source)


@contextlib.contextmanager
def only_for_now(plugins: Sequence[Plugin], registries: Sequence[Registry[Any]]) -> Iterator[None]:
    """What these plugins define stands for its names, whatever was added under them before, until the end."""
    before, files = [(registry, registry.added()) for registry in registries], dict(_loaded)
    names = {plugin.name for plugin in plugins}
    try:
        for registry, entries in before:
            registry.restore({name: entry for name, entry in entries.items() if name not in names})
        for plugin in plugins:
            load_plugin(plugin, registries)
        yield
    finally:
        _loaded.clear()
        _loaded.update(files)
        for registry, entries in before:
            registry.restore(entries)


def _register(plugin: Plugin, module: types.ModuleType, registries: Sequence[Registry[Any]]) -> None:
    found = [(registry, registry.entries(module)) for registry in registries]
    for registry, classes in found:
        if len(classes) > 1:
            raise UserError(f"plugins: '{plugin.path}' must define one {registry.kind}, but it defines {len(classes)}.")
    if not any(classes for _, classes in found):
        kinds = " or ".join(f"a {registry.kind} (a subclass of {registry.base.__name__})" for registry in registries)
        raise UserError(f"plugins: '{plugin.path}' defines neither: it must define {kinds}.")
    for registry, classes in found:
        for cls in classes:
            registry.add(plugin.name, cls, os.path.realpath(plugin.path))
