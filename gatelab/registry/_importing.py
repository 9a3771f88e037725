"""Imports plugins, each into a package of its own. What a plugin imports from its folder goes into that package, too."""

import ast
import contextlib
import hashlib
import importlib.util
import sys
import traceback
import types
from collections.abc import Iterator
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from gatelab.errors import UserError
from gatelab.registry._reading import Plugin, is_beside

_PREFIX = "gatelab_plugin_"  # of the packages that plugins are modules of

_packages: dict[str, Plugin] = {}  # by the name of the package that its modules are in


@contextlib.contextmanager
def modules(plugin: Plugin) -> Iterator[types.ModuleType]:
    """The module of a plugin, imported unless it was imported before; if the block raises, the imports are undone."""
    package = _PREFIX + hashlib.sha256(str(plugin.path).encode()).hexdigest()[:10]
    name = f"{package}.{plugin.name}"
    if package in _packages and _packages[package].sources == plugin.sources and name in sys.modules:
        yield sys.modules[name]
        return
    before = {key: sys.modules.pop(key) for key in _within(package)}, _packages.get(package)
    _packages[package] = plugin
    try:
        yield _execute(package, name, plugin)
    except BaseException:
        for key in _within(package):
            del sys.modules[key]
        sys.modules.update(before[0])
        if before[1] is None:
            del _packages[package]
        else:
            _packages[package] = before[1]
        raise


def _within(package: str) -> list[str]:
    return [key for key in sys.modules if key == package or key.startswith(f"{package}.")]


def _execute(package: str, name: str, plugin: Plugin) -> types.ModuleType:
    root = types.ModuleType(package)
    root.__path__ = []  # only `_Finder` finds its modules
    sys.modules[package] = root
    given = plugin.path
    try:
        return importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except SystemExit as error:
        where = _where(error, plugin)
        raise UserError(
            f"plugins: '{given}' ends the program when it is imported: sys.exit({error.code!r}){where}. Remove the call."
        ) from error
    except BaseException as error:
        text = " ".join(str(error).split()).replace(f"{package}.", "")
        what = text if isinstance(error, UserError) else f"{type(error).__name__}: {text}" if text else type(error).__name__
        raise UserError(f"plugins: '{given}' cannot be imported: {what}{_where(error, plugin)}{_remedy(error)}") from error


def _remedy(error: BaseException) -> str:
    """The remedy where `dataclass` refuses a class that is not frozen or has an option without a type."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not frames or frames[-1].f_globals.get("__name__") != "dataclasses":
        return ""
    return ". Write @dataclass(frozen=True) above the class, and its options as `name: type = option(default, help)`."


def _where(error: BaseException, plugin: Plugin) -> str:
    """The last line of the user's files that led to the error."""
    files = {str(file): name for file, name in zip(plugin.files, plugin.sources, strict=True)}
    found, trace = "", error.__traceback__
    while trace is not None:
        name = files.get(trace.tb_frame.f_code.co_filename)
        found = f" ({name}, line {trace.tb_lineno})" if name else found
        trace = trace.tb_next
    return found


class _Finder(MetaPathFinder):
    """Finds the modules of plugins among the sources that were read."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002
        package, _, rest = fullname.partition(".")
        plugin = _packages.get(package)
        if plugin is None or not rest:
            return None
        base = rest.replace(".", "/")
        # The plugin itself comes before a package of the same name beside it.
        names = (f"{base}.py",) if rest == plugin.name else (f"{base}/__init__.py", f"{base}.py")
        name = next((name for name in names if name in plugin.sources), None)
        if name is None:
            return None
        inner: list[str] | None = [] if name.endswith("/__init__.py") else None
        loader = _Loader(package, plugin, name)
        return importlib.util.spec_from_file_location(
            fullname, plugin.path.parent / name, loader=loader, submodule_search_locations=inner
        )


class _Loader(Loader):
    def __init__(self, package: str, plugin: Plugin, name: str) -> None:
        self._package, self._plugin, self._name = package, plugin, name

    def exec_module(self, module: types.ModuleType) -> None:
        file = self._plugin.path.parent / self._name
        tree = ast.parse(self._plugin.sources[self._name], str(file))
        _redirect(tree, self._package, self._plugin.path.parent)
        exec(compile(tree, str(file), "exec"), vars(module))


sys.meta_path.append(_Finder())


def _redirect(tree: ast.Module, package: str, folder: Path) -> None:
    """Makes `import helper` import the module of the plugin's package if there is such a file beside the plugin."""
    for node in ast.walk(tree):
        for _, value in ast.iter_fields(node):
            if isinstance(value, list) and any(isinstance(item, (ast.Import, ast.ImportFrom)) for item in value):
                value[:] = [new for item in value for new in _redirected(item, package, folder)]


def _redirected(statement: ast.stmt, package: str, folder: Path) -> list[ast.stmt]:
    if isinstance(statement, ast.ImportFrom):
        if not statement.level and statement.module and is_beside(folder, statement.module):
            statement.module = f"{package}.{statement.module}"
        return [statement]
    if not isinstance(statement, ast.Import):
        return [statement]
    found: list[ast.alias] = []
    for alias in statement.names:
        if not is_beside(folder, alias.name):
            found.append(alias)
            continue
        top = alias.name.partition(".")[0]
        found.append(ast.alias(f"{package}.{alias.name}", alias.asname or top))
        if alias.asname is None and alias.name != top:  # `import a.b` imports a.b and binds a
            found.append(ast.alias(f"{package}.{top}", top))
    return [ast.fix_missing_locations(ast.copy_location(ast.Import(found), statement))]
