"""Users' own files: read with the modules beside them that they import, told apart by what they compute, and loaded.

A plugin is a Python file that defines a cell or a task; its file stem is the name in the registry. It may import the modules in
its own folder. They are found for it alone: the folder never enters `sys.path`, a module of the standard library or of an
installed package wins over one beside the plugin, and files of one name beside two plugins are two modules.

Reading executes nothing, so that a file can be compared with what a run was trained with, and shown to the user, before it runs.
"""

import ast
import contextlib
import difflib
import hashlib
import importlib.util
import os
import re
import sys
import traceback
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

from gatelab.registry import Registry, UserError

_PREFIX = "gatelab_plugin_"  # of the packages that plugins are modules of
_STEM = re.compile(r"[\w-]+")
_BARE = ("kind", "type_comment")  # fields of a syntax tree that only say how something was written
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Plugin:
    """A user's file and the modules beside it that it imports, as they were when they were read.

    Attributes:
        path: of the file, absolute.
        sources: contents by path within its folder: "mycell.py", "helper.py", "layers/__init__.py".
        digest: SHA-256 of the syntax trees. Comments, blank lines, layout and docstrings do not count.
    """

    path: Path
    sources: Mapping[str, bytes]
    digest: str

    @property
    def name(self) -> str:
        """What it defines is called so."""
        return self.path.stem

    @property
    def files(self) -> list[Path]:
        """The file, then the modules beside it."""
        return [self.path.parent / name for name in self.sources]


def absolute(path: str | Path, folder: str | Path = "") -> Path:
    """The path from the root, `~` expanded; a link stays a link, because the name of the link is the name of the cell.

    Args:
        folder: what a relative path is relative to; by default the current folder.
    """
    return Path(os.path.abspath(os.path.join(folder, os.path.expanduser(path))))


def read_plugin(path: str | Path) -> Plugin:
    """Reads a user's file and what it imports of its own folder, and executes nothing.

    Raises:
        UserError: the file is missing, or one of them is not Python.
    """
    file = absolute(path)
    _check_file(path, file)
    sources: dict[str, bytes] = {}
    digest = hashlib.sha256()
    waiting = [file.name]
    while waiting:
        name = waiting.pop(0)
        if name in sources:
            continue
        sources[name], tree = _parsed(path, file.parent / name)
        digest.update(b"\0".join([(name if len(sources) > 1 else "").encode(), *_tokens(tree), b""]))
        waiting += sorted(_imported(tree, file.parent, name))
    return Plugin(file, sources, digest.hexdigest())


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
    with _modules(plugin) as module:
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


# Reading.


def _check_file(given: str | Path, file: Path) -> None:
    remedy = "Give the path of a .py file that defines a cell or a task."
    if not os.path.exists(file):  # unlike Path.exists, it takes any text for a path
        near = difflib.get_close_matches(file.name, _python_files(file.parent), n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise UserError(f"plugins: '{given}' was not found; there is no file '{file}'.{hint} {remedy}")
    if not os.path.isfile(file) or file.suffix != ".py":
        raise UserError(f"plugins: '{given}' is not a Python file. {remedy}")
    if not _STEM.fullmatch(file.stem):
        raise UserError(f"plugins: '{given}' has a name that a cell or a task cannot have. Use letters, digits, _ and - in it.")


def _python_files(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.endswith(".py")]
    except (OSError, ValueError):
        return []


def _parsed(given: str | Path, file: Path) -> tuple[bytes, ast.Module]:
    try:
        source = file.read_bytes()
        return source, ast.parse(source, str(file))
    except OSError as error:
        raise UserError(f"plugins: '{file}' cannot be read: {error.strerror}.") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # the last two: nested too deeply for the parser
        line = getattr(error, "lineno", None)
        what = error.msg if isinstance(error, SyntaxError) else str(error) or "it is nested too deeply"
        where = f"{file.name}, line {line}" if line else file.name
        raise UserError(f"plugins: '{given}' cannot be imported: {type(error).__name__}: {what} ({where})") from error


def _tokens(tree: ast.AST) -> Iterator[bytes]:
    """The syntax tree without positions, layout and docstrings; the same for all versions of Python, unlike `ast.dump`.

    Without recursion: a sum of a thousand terms is a tree of a thousand levels.
    """
    stack: list[Any] = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, ast.AST):
            fields = [(name, value) for name, value in _fields(item) if value is not None and value != []]
            yield f"{type(item).__name__}/{len(fields)}".encode()
            for name, value in reversed(fields):
                stack += [value, types.SimpleNamespace(field=name)]
        elif isinstance(item, types.SimpleNamespace):
            yield item.field.encode()
        elif isinstance(item, list):
            yield f"list/{len(item)}".encode()
            stack += reversed(item)
        elif type(item) is int:  # in decimals Python would refuse more than 4300
            yield f"int:{item:x}".encode()
        else:
            yield f"{type(item).__name__}:{item!r}".encode("utf-8", "surrogatepass")


def _fields(node: ast.AST) -> Iterator[tuple[str, Any]]:
    for name, value in ast.iter_fields(node):
        if name == "body" and isinstance(node, _WITH_DOCSTRING) and ast.get_docstring(node, clean=False) is not None:
            yield name, value[1:]
        elif name not in _BARE:
            yield name, value


def _imported(tree: ast.Module, folder: Path, name: str) -> set[str]:
    """The files in the folder that a module of it imports, at its top or anywhere in it."""
    found: set[str] = set()
    package = list(Path(name).parent.parts)  # of the module, within the folder
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if _is_beside(folder, alias.name):
                    found |= _files_of(folder, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            if node.level:
                module = package[: max(0, len(package) - node.level + 1)] + module
            elif not _is_beside(folder, module[0]):
                continue
            for alias in node.names:
                found |= _files_of(folder, [*module, alias.name])
    return found


def _files_of(folder: Path, parts: Sequence[str]) -> set[str]:
    """The files that importing a module runs: its own and those of the packages around it."""
    found = (_file_of(folder, parts[: count + 1]) for count in range(len(parts)))
    return {name for name in found if name is not None}


def _file_of(folder: Path, parts: Sequence[str]) -> str | None:
    base = "/".join(parts)
    return next((name for name in (f"{base}/__init__.py", f"{base}.py") if (folder / name).is_file()), None)


def _is_beside(folder: Path, module: str) -> bool:
    """Whether a module is found in the folder: not if the standard library or an installed package has it."""
    top = module.partition(".")[0]
    file = _file_of(folder, [top])
    if file is None or top in sys.stdlib_module_names:
        return False
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # it is being imported or was made by hand
        return False
    return spec is None or (spec.origin is not None and os.path.realpath(spec.origin) == os.path.realpath(folder / file))


# Importing.

_loaded: dict[str, Plugin] = {}  # by the real path
_packages: dict[str, Plugin] = {}  # by the name of the package that its modules are in


@contextlib.contextmanager
def _modules(plugin: Plugin) -> Iterator[types.ModuleType]:
    """The module of a plugin, imported unless that was done before; what is imported goes again when the block raises."""
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
    root.__path__ = []  # `_Finder` alone finds what is in it
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
    """What to write instead of a class that `dataclass` refuses: one that is not frozen, an option without a type."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if not frames or frames[-1].f_globals.get("__name__") != "dataclasses":
        return ""
    return ". Write @dataclass(frozen=True) above the class, and its options as `name: type = option(default, help)`."


def _where(error: BaseException, plugin: Plugin) -> str:
    """The last line of the user's own that led to the error."""
    files = {str(file): name for file, name in zip(plugin.files, plugin.sources, strict=True)}
    found, trace = "", error.__traceback__
    while trace is not None:
        name = files.get(trace.tb_frame.f_code.co_filename)
        found = f" ({name}, line {trace.tb_lineno})" if name else found
        trace = trace.tb_next
    return found


class _Finder(MetaPathFinder):
    """Finds the modules of plugins, from what was read of them."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:  # noqa: ARG002
        package, _, rest = fullname.partition(".")
        plugin = _packages.get(package)
        if plugin is None or not rest:
            return None
        base = rest.replace(".", "/")
        # The plugin itself before a package of its name beside it.
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
    """Makes `import helper` import the module of that name in the plugin's package, where it lies beside the plugin."""
    for node in ast.walk(tree):
        for _, value in ast.iter_fields(node):
            if isinstance(value, list) and any(isinstance(item, (ast.Import, ast.ImportFrom)) for item in value):
                value[:] = [new for item in value for new in _redirected(item, package, folder)]


def _redirected(statement: ast.stmt, package: str, folder: Path) -> list[ast.stmt]:
    if isinstance(statement, ast.ImportFrom):
        if not statement.level and statement.module and _is_beside(folder, statement.module):
            statement.module = f"{package}.{statement.module}"
        return [statement]
    if not isinstance(statement, ast.Import):
        return [statement]
    found: list[ast.alias] = []
    for alias in statement.names:
        if not _is_beside(folder, alias.name):
            found.append(alias)
            continue
        top = alias.name.partition(".")[0]
        found.append(ast.alias(f"{package}.{alias.name}", alias.asname or top))
        if alias.asname is None and alias.name != top:  # `import a.b` imports a.b and binds a
            found.append(ast.alias(f"{package}.{top}", top))
    return [ast.fix_missing_locations(ast.copy_location(ast.Import(found), statement))]


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
