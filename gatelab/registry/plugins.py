"""Users' own files: read together with the modules beside them that they import, identified by a digest, and loaded.

A plugin is a Python file that defines a cell or a task; its file stem is the name in the registry. It may import the modules in
its own folder. They are found for it alone: the folder never enters `sys.path`, a module of the standard library or of an
installed package wins over one beside the plugin, and files of one name beside two plugins are two modules.

Reading executes nothing: before a file is run, it can be shown to the user and compared with the one a run was trained with.
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
    """Loads a user's file and adds the classes that it defines under its file stem.

    A file that was loaded before is executed again only if it, or a module beside it that it imports, has changed.

    Args:
        path: a Python file that defines one entry of at least one of the registries, or what `read_plugin` has read of it.
        registries: the registries that its classes may belong to.

    Returns:
        The plugin. Its digest enters the identity of a run, since other equations make another run.

    Raises:
        UserError: the file is missing, cannot be imported or defines nothing that fits. Then nothing of it is kept.
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
    """Registers these plugins for the duration of the block, in place of whatever was added under their names."""
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
