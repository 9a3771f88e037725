"""Checks whether a class can be a task: its members must exist and be what the contract asks for."""

import functools
import inspect
import types
from typing import Any

from gatelab.options import Options
from gatelab.registry.contract import BrokenError, check_dataclass, class_place

METHODS: dict[str, tuple[str, ...]] = {
    "size": ("split",),
    "batch": ("split", "seed", "indices"),
    "loss": ("output", "batch"),
    "metrics": ("output", "batch"),
    "constant": ("batch",),
    "weight": ("batch",),
    "data_hashes": (),
}
VALUES = (
    "input_size",
    "output_size",
    "vocabulary",
    "lag",
    "chance",
    "solved",
    "metric",
    "chance_derivation",
    "solved_derivation",
    "readout",
    "higher_is_better",
    "scale",
    "shape",
    "plateau",
    "carried",
    "repeats",
)


def class_problem(cls: type[Options]) -> str | None:
    """What is wrong with a class, before a task of it is made; or None."""
    try:
        check_class(cls)
    except BrokenError as error:
        return error.sentence(class_place(cls))
    return None


def check_class(cls: type[Options]) -> None:
    """Refuses a class that no task can be made from.

    Raises:
        BrokenError: the message says what is wrong.
    """
    check_dataclass(cls)
    absent = [name for name in METHODS if _is_abstract(cls, name)]
    absent += [name for name in VALUES if not hasattr(cls, name) or _is_abstract(cls, name)]
    if absent:
        raise BrokenError(f"class {cls.__name__} has no {', '.join(f'`{name}`' for name in absent)}; every task declares them")
    for name, arguments in METHODS.items():
        _check_method(cls, name, arguments)
    for name in VALUES:
        if isinstance(inspect.getattr_static(cls, name), (types.FunctionType, staticmethod, classmethod)):
            raise BrokenError(f"`{name}` is a method, but it must be a value or a property; write @property above it")


def _is_abstract(cls: type, name: str) -> bool:
    return name in getattr(cls, "__abstractmethods__", ())


def _check_method(cls: type, name: str, arguments: tuple[str, ...]) -> None:
    static: Any = inspect.getattr_static(cls, name)
    written = f"def {name}({', '.join(('self', *arguments))})"
    if isinstance(static, (property, functools.cached_property)) or not callable(getattr(cls, name)):
        raise BrokenError(f"`{name}` must be a method: {written}")
    receiver = () if isinstance(static, (staticmethod, classmethod)) else ("self",)
    try:
        inspect.signature(getattr(cls, name)).bind(*receiver, *arguments)
    except TypeError as error:
        raise BrokenError(f"`{name}` must take ({', '.join(('self', *arguments))}): {error}") from error
