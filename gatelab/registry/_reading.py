"""Reads plugins: which files belong to one, and the digest of what decides a result. Nothing is executed."""

import ast
import difflib
import hashlib
import importlib.util
import os
import re
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gatelab.errors import UserError

_STEM = re.compile(r"[\w-]+")
_BARE = ("kind", "type_comment")  # fields of a syntax tree that only record how the source was written
_WITH_DOCSTRING = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Plugin:
    """A user's file and the modules beside it that it imports, with the contents they had when they were read.

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
        """The name of the class that it defines."""
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
    """Reads a user's file and the modules that it imports from its own folder, and executes nothing.

    Raises:
        UserError: the file is missing, or one of the files is not valid Python.
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


def _check_file(given: str | Path, file: Path) -> None:
    remedy = "Give the path of a .py file that defines a cell or a task."
    if not os.path.exists(file):  # unlike Path.exists, it takes any text for a path
        near = difflib.get_close_matches(file.name, _python_files(file.parent), n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        raise UserError(f"plugins: '{given}' was not found; there is no file '{file}'.{hint} {remedy}")
    if not os.path.isfile(file) or file.suffix != ".py":
        raise UserError(f"plugins: '{given}' is not a Python file. {remedy}")
    if not _STEM.fullmatch(file.stem):
        raise UserError(f"plugins: '{given}' has a name that a cell or task cannot have. Use only letters, digits, _ and -.")


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
    """The syntax tree without positions, layout and docstrings. Unlike `ast.dump`, it is the same in all versions of Python.

    It does not recurse: a sum of a thousand terms is a tree of a thousand levels.
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
        elif type(item) is int:  # Python refuses to write more than 4300 decimals
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
    """The files of the folder that a module of it imports, at its top or in functions."""
    found: set[str] = set()
    package = list(Path(name).parent.parts)  # of the module, within the folder
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if is_beside(folder, alias.name):
                    found |= _files_of(folder, alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            module = node.module.split(".") if node.module else []
            if node.level:
                module = package[: max(0, len(package) - node.level + 1)] + module
            elif not is_beside(folder, module[0]):
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


def is_beside(folder: Path, module: str) -> bool:
    """Whether a module is looked up in the folder: not if the standard library or an installed package has it."""
    top = module.partition(".")[0]
    file = _file_of(folder, [top])
    if file is None or top in sys.stdlib_module_names:
        return False
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # it is being imported or was made by hand
        return False
    if spec is None or spec.origin is None:
        return spec is None
    found = Path(os.path.realpath(spec.origin))
    return found == Path(os.path.realpath(folder / file)) or _is_only_here(found)


def _is_only_here(file: Path) -> bool:
    """Whether a module is found because `python -m gatelab` and `torchrun -m gatelab` import from the current folder first."""
    here = os.path.realpath(os.getcwd())
    root = file.parents[1] if file.name == "__init__.py" else file.parent
    return str(root) == here and here not in map(os.path.realpath, sys.path[1:])
