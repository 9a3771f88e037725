"""Fields as options: a dataclass field is at once a constructor argument, a Hydra option, a line of documentation and a check."""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from typing import Any, ClassVar

from gatelab.errors import UserError, unknown
from gatelab.options.bounds import problem, shown

REQUIRED = "???"  # OmegaConf's mark for a value that must be given


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
        longest: the maximum length of a text; LONGEST when None. `without`: characters that it must not contain.
        factory: makes the default of a list; the bounds apply to every element.
        extra: further metadata of the field, for the code that declares it.
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

    In a frozen class a list from a configuration becomes a tuple, so that the object can be hashed and does not change.

    Raises:
        UserError: a value has the wrong type, is out of bounds or is not among the choices.
    """

    own_init: ClassVar[bool] = False  # whether a class has an __init__ that the decorator did not write

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        # Only visible here: later the decorator adds a missing __init__. With slots=True it makes the class again.
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
        """Refuses a class that cannot be an entry of a registry. The default accepts every class.

        Args:
            name: of the entry, for the message.

        Raises:
            UserError: in the classes that ask for more.
        """

    def check(self, name: str) -> None:
        """Refuses an entry that breaks the contract of its kind. The default accepts all; `Registry.build` calls it.

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
    # An int is accepted as a float, as everywhere in Python; a bool is an int in Python, but not to a user.
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


def check_types(what: str, cls: type) -> None:
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
                f"{what}: option '{field.name}' has type {kind}, which a configuration cannot hold. Use int, float, bool, str, a "
                "list of one of these, or any of these with None; for one of several words, use str with `choices`."
            )


def _holds(hint: Any) -> bool:
    if typing.get_origin(hint) in (list, tuple, typing.Union, types.UnionType):
        return all(item is ... or _holds(item) for item in typing.get_args(hint))
    return hint in (int, float, bool, str, list, tuple, type(None), Any)


@functools.lru_cache(maxsize=1024)
def schema(cls: type, name: str) -> type:
    """The mutable twin of an options class for OmegaConf, with the registry name as its first field; one for each class.

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


def derived_at_default(cls: type, values: Mapping[str, Any]) -> list[str]:
    """The given options that gatelab adds to a class (metadata `derived`) and that have their default value."""
    derived = {field.name: field.default for field in dataclasses.fields(cls) if field.metadata.get("derived")}
    return [name for name, value in values.items() if name in derived and value == derived[name]]


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
