"""Names to classes: a folder is scanned, a file stem is the name, users' own files can be added.

The whole of gatelab finds its own objects through this module: `cell=cifg` is the class in `gatelab/cells/cifg.py`
(`gatelab.plugins` loads files of users). It also
holds what cells and tasks declare their hyper-parameters with (`option`, `Options`), so that a field is at once a constructor
argument, a Hydra option, a line of documentation and a check.
"""

import dataclasses
import difflib
import functools
import importlib
import inspect
import pkgutil
import types
import typing
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any, ClassVar, Generic, TypeVar

from gatelab.bounds import problem, shown

T = TypeVar("T")

REQUIRED = "???"  # what a configuration has in place of a value that must be given


class UserError(ValueError, RuntimeError):
    """What the user gave cannot be used. The message is one sentence or a few; the command line prints it and exits with 2.

    A RuntimeError as well, which is what torch's own modules raise for a shape that does not fit.
    """


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end. Like Ctrl-C, it passes through everything that handles errors."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """The one sentence for a name that does not exist: what was given, the nearest, all there is."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f" Did you mean '{near[0]}'?" if near else ""
    return f"Unknown {kind} '{name}'.{hint} Available: {', '.join(names) or 'none'}."


def option(
    default: Any = dataclasses.MISSING,
    help: str = "",  # noqa: A002 - the word users know from argparse and click
    *,
    choices: tuple[str, ...] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    above: float | None = None,
    below: float | None = None,
    finite: bool = True,
    longest: int | None = None,
    without: str | None = None,
    factory: Any = dataclasses.MISSING,
    **extra: Any,
) -> Any:
    """A dataclass field with its documentation and its admissible values.

    Args:
        default: the default value; a list is copied.
        help: one line for `gatelab explain`, with the unit where there is one.
        choices: the accepted strings.
        minimum, maximum: inclusive bounds; `above`, `below`: exclusive ones. `None` as a value is never out of bounds.
        finite: refuses nan, the infinities and what float32 cannot hold.
        longest: most characters of a text; LONGEST when None. `without`: characters that it must not contain.
        factory: makes the default, of a list that is not the same each time; the bounds are those of every element.
        extra: further metadata of the field, for whoever declares it.
    """
    bounds = {"help": help, "choices": choices, "minimum": minimum, "maximum": maximum, "above": above, "below": below}
    bounds |= {"finite": None if finite else False, "longest": longest, "without": without} | extra
    metadata = {key: value for key, value in bounds.items() if value is not None}
    if isinstance(default, list):
        default, factory = dataclasses.MISSING, default.copy
    if factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class Options:
    """Base of dataclasses whose fields are options: checks every value when it is built.

    A list, which configurations have, becomes a tuple in a frozen class: what is frozen can be hashed, and does not change.

    Raises:
        UserError: a value has the wrong type, is out of bounds or is not among the choices.
    """

    own_init: ClassVar[bool] = False  # whether a class has an __init__ that the decorator did not write

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        # Seen here alone: the decorator adds an __init__ where there is none. With slots=True it makes the class once more.
        if "__dataclass_params__" not in vars(cls):
            cls.own_init = "__init__" in vars(cls)

    def __post_init__(self) -> None:
        hints = typing.get_type_hints(type(self))
        frozen = type(self).__dataclass_params__.frozen  # type: ignore[attr-defined]
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            value = _listed(getattr(self, field.name))
            _check(type(self).__name__, field, value, hints[field.name])
            if frozen and isinstance(value, list):
                object.__setattr__(self, field.name, _tupled(value))

    @classmethod
    def check_class(cls, name: str) -> None:
        """What a class must have to be an entry of a registry, beside a decorator: nothing here.

        Args:
            name: of the entry, for the message.

        Raises:
            UserError: in the classes that ask for more.
        """

    def check(self, name: str) -> None:
        """Whether an entry keeps the contract of its kind; nothing here. `Registry.build` calls it.

        Args:
            name: of the entry, for the message.

        Raises:
            UserError: in the classes that ask for more.
        """


def _listed(value: Any) -> Any:
    return [_listed(item) for item in value] if isinstance(value, (list, tuple)) else value


def _tupled(value: Any) -> Any:
    return tuple(_tupled(item) for item in value) if isinstance(value, list) else value


def _check(owner: str, field: "dataclasses.Field[Any]", value: Any, hint: Any) -> None:
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    accepted = typing.get_args(hint) if union else (hint,)
    plain = tuple(kind for kind in accepted if kind in (int, float, bool, str, type(None)))
    # int stands for float as everywhere in Python; bool is an int to Python but never to a user.
    fits = isinstance(value, plain) or (float in plain and isinstance(value, int))
    if plain and len(plain) == len(accepted) and (not fits or (isinstance(value, bool) and bool not in plain)):
        names = " or ".join("null" if kind is type(None) else kind.__name__ for kind in plain)
        raise UserError(f"{owner}: option '{field.name}' is {shown(value)}, but it must be of type {names}.")
    lists = [kind for kind in accepted if kind in (list, tuple) or typing.get_origin(kind) in (list, tuple)]
    if lists and not fits:
        if not isinstance(value, (list, tuple)):
            raise UserError(f"{owner}: option '{field.name}' is {shown(value)}, but it must be a list, as in [a,b].")
        for kind in typing.get_args(lists[0])[:1]:
            for item in value:
                _check(owner, field, item, kind)
        return
    if value is None:
        return
    meta = field.metadata
    if meta.get("choices") and value not in meta["choices"]:
        raise UserError(f"{owner}: " + unknown(f"value of '{field.name}'", str(value), meta["choices"]))
    wrong = problem(value, meta)
    if wrong:
        raise UserError(f"{owner}: option '{field.name}' is {shown(value)}, but it must {wrong}.")


def _check_types(what: str, cls: type) -> None:
    """Refuses an option of a type that no configuration can hold."""
    try:
        hints = typing.get_type_hints(cls)
    except Exception as error:  # a type in quotes may be anything
        raise UserError(f"{what}: the type of an option cannot be read: {type(error).__name__}: {error}.") from error
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if not _holds(hint):
            kind = getattr(hint, "__name__", hint)
            raise UserError(
                f"{what}: option '{field.name}' is of type {kind}, which a configuration cannot hold. Use int, float, bool, str, a "
                "list of one of them, or one of these or None; for one of several texts, str with `choices`."
            )


def _holds(hint: Any) -> bool:
    if typing.get_origin(hint) in (list, tuple, typing.Union, types.UnionType):
        return all(item is ... or _holds(item) for item in typing.get_args(hint))
    return hint in (int, float, bool, str, list, tuple, type(None), Any)


def schema(cls: type, name: str) -> type:
    """The mutable twin of an options class, as OmegaConf wants it, with the registry name in front.

    OmegaConf makes a frozen dataclass read-only, so that Hydra could not override a single option of it.
    """
    hints = typing.get_type_hints(cls)
    fields: list[Any] = [("name", str, dataclasses.field(default=name))]
    for field in dataclasses.fields(cls):
        if field.default_factory is not dataclasses.MISSING:
            default = dataclasses.field(default_factory=field.default_factory)
        else:
            default = dataclasses.field(default=field.default)
        fields.append((field.name, hints[field.name], default))
    return dataclasses.make_dataclass(f"{cls.__name__}Schema", fields, kw_only=True)  # so that one without default may follow


class Registry(Generic[T]):
    """Classes of one kind by name.

    Args:
        kind: the word for messages, "cell".
        package: the folder to scan; files with a leading underscore are not entries.
        base: the class that entries derive from. A file holds exactly one, its stem is the name.

    An installed package offers more through the entry-point group of the same name as `package`, and `add` takes a file.
    """

    def __init__(self, kind: str, package: str, base: type[T]) -> None:
        self.kind, self.package, self.base = kind, package, base
        self._added: dict[str, tuple[type[T], str]] = {}

    def names(self) -> list[str]:
        """All names in alphabetical order."""
        return sorted(self._files() | self._installed.keys() | self._added.keys())

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def get(self, name: str) -> type[T]:
        """The class of that name.

        Raises:
            UserError: there is no such name; the message names the nearest.
        """
        if not isinstance(name, str):
            what = f"the class {name.__name__}; call it" if inspect.isclass(name) else f"of type {type(name).__name__}"
            raise UserError(f"A {self.kind} is given by its name or as an object, but this is {what}.")
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
        except Exception as error:  # in a __post_init__ of the user's
            what = f"{type(error).__name__}: {error}"
            raise UserError(f"{self.kind} '{name}' cannot be built from {options or 'its defaults'}: {what}.") from error
        entry.check(name)
        return entry

    def name_of(self, cls: type) -> str:
        """The registry name of a class: that it was added or installed under, or its file stem; else the name of the class."""
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
        """What `add` was given as the source of a name; None for a name that was not added."""
        return self._added[name][1] if name in self._added else None

    def is_built_in(self, name: str) -> bool:
        """Whether the name comes with gatelab, or is not known at all: neither a user's file nor another package has it."""
        return name not in self._added and (name in self._files() or name not in self._installed)

    def added(self) -> dict[str, tuple[type[T], str]]:
        """All that was added, for `restore`."""
        return dict(self._added)

    def restore(self, entries: Mapping[str, tuple[type[T], str]]) -> None:
        """Makes these what was added, and nothing else."""
        self._added = dict(entries)

    def entries(self, module: types.ModuleType) -> list[type[T]]:
        """The public classes of this registry's kind that a module itself defines."""
        own = [value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == module.__name__]
        return [cls for cls in dict.fromkeys(own) if issubclass(cls, self.base) and not cls.__name__.startswith("_")]

    def _files(self) -> set[str]:
        folder = importlib.import_module(self.package).__path__
        return {info.name for info in pkgutil.iter_modules(folder) if not info.name.startswith("_")}

    @functools.cached_property
    def _installed(self) -> dict[str, Any]:
        """Entry points by name, read once: that opens the metadata of every package there is."""
        return {point.name: point for point in entry_points(group=self.package)}

    def _checked(self, cls: Any, name: str, source: str) -> type[T]:
        if not (inspect.isclass(cls) and issubclass(cls, self.base)):
            raise UserError(f"{source} is not a {self.kind}: it must be a dataclass derived from {self.base.__name__}.")
        # Every subclass inherits being a dataclass; without a decorator of its own its options would not be fields.
        if "__dataclass_params__" not in vars(cls):
            raise UserError(
                f"{source} is not a {self.kind}: it must be a dataclass. Write @dataclass(frozen=True) above class {cls.__name__}."
            )
        _check_types(f"{self.kind} '{name}'", cls)
        cls.check_class(name)  # type: ignore[attr-defined]
        return cls


def describe(cls: type) -> list[Mapping[str, Any]]:
    """One row per option: name, type, default, help and accepted values."""
    hints = typing.get_type_hints(cls)
    rows = []
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        default = field.default if field.default is not dataclasses.MISSING else "required"
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        rows.append(
            {
                "name": field.name,
                "type": hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", ""),
                "default": default,
                "help": field.metadata.get("help", ""),
                "choices": field.metadata.get("choices"),
            }
        )
    return rows
