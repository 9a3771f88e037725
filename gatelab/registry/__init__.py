"""Names to classes: a folder is scanned, a file stem is the name, users' own files can be added.

All of gatelab finds its own objects through this room: `cell=cifg` is the class in `gatelab/cells/cifg.py`
(`gatelab.registry.plugins` loads files of users).
"""

import dataclasses
import functools
import importlib
import inspect
import pkgutil
import types
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from gatelab.errors import UserError, unknown
from gatelab.options import REQUIRED, check_types

T = TypeVar("T")


class Registry(Generic[T]):
    """Classes of one kind by name.

    Args:
        kind: the word for messages, "cell".
        package: the folder to scan; files with a leading underscore are not entries.
        base: the class that entries derive from, or where it is (`gatelab.cells._cell:Cell`), imported with the first entry. A file
            holds exactly one, its stem is the name.

    Installed packages add entries through the entry-point group named like `package`; `add` adds the class of a file.
    """

    def __init__(self, kind: str, package: str, base: type[T] | str) -> None:
        self.kind, self.package, self._base = kind, package, base
        self._added: dict[str, tuple[type[T], str]] = {}

    @property
    def base(self) -> type[T]:
        """The class that entries derive from."""
        base: Any = self._base
        return pkgutil.resolve_name(base) if isinstance(base, str) else base

    def names(self) -> list[str]:
        """All names in alphabetical order."""
        return sorted(self._files() | self._installed.keys() | self._added.keys())

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def get(self, name: str) -> type[T]:
        """The class of that name.

        Raises:
            UserError: the name does not exist; the message names the nearest.
        """
        if not isinstance(name, str):
            what = f"the class {name.__name__}; call it" if inspect.isclass(name) else f"of type {type(name).__name__}"
            raise UserError(f"A {self.kind} must be a name or an object, but this is {what}.")
        if name in self._added:
            return self._added[name][0]
        if name not in self._files():
            if name not in self._installed:
                raise UserError(unknown(self.kind, name, self.names()))
            try:
                cls = self._installed[name].load()
            except (Exception, SystemExit) as error:
                raise UserError(f"entry point '{name}' cannot be imported: {type(error).__name__}: {error}") from error
            return self._checked(cls, name, f"entry point '{name}'")
        module = importlib.import_module(f"{self.package}.{name}")
        found = self.entries(module)
        if len(found) != 1:
            raise UserError(f"{module.__file__} must define exactly one {self.kind}, but it defines {len(found)}.")
        return found[0]

    def build(self, name: str, **options: Any) -> T:
        """An instance of the class of that name with these options.

        Raises:
            UserError: the name or an option does not exist, a value is missing or not accepted, or what is built does not keep
                the contract of its kind.
        """
        cls: Any = self.get(name)
        fields = {field.name: field for field in dataclasses.fields(cls)}
        for given in options:
            if given not in fields:
                raise UserError(unknown(f"option of {self.kind} '{name}'", given, fields))
        for field in fields.values():
            default = REQUIRED if field.default is field.default_factory is dataclasses.MISSING else None
            if options.get(field.name, default) == REQUIRED:
                raise UserError(f"{self.kind} '{name}' needs a value for its option '{field.name}', which has no default.")
        try:
            entry = cls(**options)
        except UserError:
            raise
        except Exception as error:  # in the user's __post_init__
            what = f"{type(error).__name__}: {error}"
            chosen = {key: value for key, value in options.items() if value != fields[key].default}
            raise UserError(f"{self.kind} '{name}' cannot be built from {chosen or 'its defaults'}: {what}.") from error
        entry.check(name)
        return entry

    def name_of(self, cls: type) -> str:
        """The registry name of a class: the one it was added or installed under, or its file stem; else the class name."""
        for name, (added, _) in self._added.items():
            if added is cls:
                return name
        for name, point in self._installed.items():
            if point.value == f"{cls.__module__}:{cls.__qualname__}":
                return name
        package, _, stem = cls.__module__.rpartition(".")
        return stem if package == self.package else cls.__name__

    def add(self, name: str, cls: type[T], source: str) -> None:
        """Adds a class under a name; adding the same source again replaces it.

        Raises:
            UserError: the name is taken by something else.
        """
        other = self.source(name)
        if name in self.names() and other != source:
            whose = "which exists already" if other is None else f"which '{other}' defines"
            raise UserError(
                f"{source} would replace the {self.kind} '{name}', {whose}. Give the file another name: "
                "the file stem is the name in the registry."
            )
        self._added[name] = (self._checked(cls, name, source), source)

    def source(self, name: str) -> str | None:
        """The source that `add` was given for a name; None for a name that was not added."""
        return self._added[name][1] if name in self._added else None

    def is_built_in(self, name: str) -> bool:
        """Whether the name is gatelab's own or unknown: neither a user's file nor another package defines it."""
        return name not in self._added and (name in self._files() or name not in self._installed)

    def added(self) -> dict[str, tuple[type[T], str]]:
        """All entries that were added, for `restore`."""
        return dict(self._added)

    def restore(self, entries: Mapping[str, tuple[type[T], str]]) -> None:
        """Replaces the added entries by these."""
        self._added = dict(entries)

    def entries(self, module: types.ModuleType) -> list[type[T]]:
        """The public classes of this kind that the module itself defines."""
        own = [value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__]
        return [cls for cls in dict.fromkeys(own) if issubclass(cls, self.base) and not cls.__name__.startswith("_")]

    def _files(self) -> set[str]:
        folder = importlib.import_module(self.package).__path__
        return {info.name for info in pkgutil.iter_modules(folder) if not info.name.startswith("_")}

    @functools.cached_property
    def _installed(self) -> dict[str, Any]:
        """Entry points by name, read once, because that opens the metadata of every installed package."""
        return {point.name: point for point in entry_points(group=self.package)}

    def _checked(self, cls: Any, name: str, source: str) -> type[T]:
        if not (inspect.isclass(cls) and issubclass(cls, self.base)):
            raise UserError(f"{source} is not a {self.kind}: it must be a dataclass derived from {self.base.__name__}.")
        # A subclass of a dataclass counts as one; but without a decorator of its own its options are not fields.
        if "__dataclass_params__" not in vars(cls):
            raise UserError(
                f"{source} is not a {self.kind}: it must be a dataclass. Write @dataclass(frozen=True) above class {cls.__name__}."
            )
        check_types(f"{self.kind} '{name}'", cls)
        cls.check_class(name)  # type: ignore[attr-defined]
        return cls
