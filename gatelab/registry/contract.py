"""What the contracts of cells and tasks share: how a violation is reported, and what every class must fulfil."""

import dataclasses
import inspect
from collections.abc import Collection
from typing import Any

from gatelab.options import Options


class BrokenError(Exception):
    """A class or an object breaks its contract.

    Args:
        message: what is wrong, without the name of the cell or task and without a full stop.
        where: file and line, if the caller that catches it does not know them.
    """

    def __init__(self, message: str, where: str | None = None) -> None:
        super().__init__(message)
        self.where = where

    def sentence(self, where: str | None) -> str:
        """The message with file and line."""
        where = self.where or where
        return f"{self}{f' ({where})' if where else ''}."


def class_place(cls: type) -> str | None:
    """File and line of a class, or of its first method if its source is not available."""
    try:
        return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    except (OSError, TypeError):  # typed into a prompt
        own = (value.fget if isinstance(value, property) else value for name, value in vars(cls).items() if name[:2] != "__")
        return next(filter(None, map(place, own)), None)


def place(function: Any) -> str | None:
    """File and line of a function; None if it has none."""
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return None if code is None else f"{code.co_filename}:{code.co_firstlineno}"


def line_in(files: Collection[str | None], error: BaseException) -> str | None:
    """The innermost line in these files that an exception passed through; None if there is none."""
    trace, found = error.__traceback__, None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in files:
            found = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found


def raised(what: str, error: BaseException) -> str:
    """`step raises ValueError: too long`: the first line of what an exception says."""
    text = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    return f"{what} raises {type(error).__name__}{': ' if text else ''}{text}"


def kind_of(value: Any) -> str:
    """`a float`, `None`, `a tuple (Tensor, float)`."""
    if value is None:
        return "None"
    if isinstance(value, tuple):
        return f"a tuple ({', '.join(type(item).__name__ for item in value)})"
    return f"a {type(value).__name__}"


def base_of(cls: type) -> Any:
    """The class that declares the contract, Cell or Task: the one that derives directly from Options."""
    return next(owner for owner in cls.__mro__ if Options in owner.__bases__)


def check_dataclass(cls: type[Options]) -> None:
    """Refuses a class that is not a dataclass of its own, and options that hide a member of the contract.

    Raises:
        BrokenError: the message says what is wrong.
    """
    what = f"class {cls.__name__}"
    if "__dataclass_params__" not in vars(cls):
        raise BrokenError(f"{what} has no decorator; write @dataclass(frozen=True) above it")
    if cls.own_init:
        raise BrokenError(
            f'{what} has an __init__ of its own; declare every option as a field, as in `gain: float = option(1.0, "...")`, '
            "and compute what follows from options in a property"
        )
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        _check_option(cls, field.name)


def _check_option(cls: type, name: str) -> None:
    kind = base_of(cls).__name__.lower()
    if name == "name":
        raise BrokenError(f"the option 'name' must have another name: `{kind}.name` is the name of the {kind} in a configuration")
    owners: list[Any] = [owner for owner in cls.__mro__ if dataclasses.is_dataclass(owner)]
    for owner in owners:
        if name in vars(owner) and name not in {field.name for field in dataclasses.fields(owner)}:
            raise BrokenError(
                f"the option '{name}' must have another name: it would hide `{name}` of {owner.__name__}. If it is not meant to be "
                "an option, write it without an annotation"
            )
