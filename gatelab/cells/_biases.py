"""The initial biases of pre-activations: an option for each, declared by the cell or derived from its `gates`."""

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

from gatelab.cells._declared import is_name
from gatelab.options import option


def bias_option(gate: str, default: float, help: str) -> Any:  # noqa: A002 - as in `option`
    """An option that is the initial bias of a pre-activation; where `initial` declares a distribution of it, it is added."""
    return option(default, help, bias_of=gate)


def derive_bias_options(cls: type) -> None:
    """Gives a class an option `<word>_bias`, 0 by default, for every pre-activation that has no `bias_option`.

    An existing member of that name is left alone. A derived option of a base class is hidden if this class has
    no such pre-activation, or calls it by another word. Nothing is derived where `gates` is a property.

    Args:
        cls: the class, before the decorator turns its annotations into options.
    """
    own, inherited = {**inspect.get_annotations(cls)}, _inherited(cls)
    declared = [value for name, value in vars(cls).items() if name in own and isinstance(value, dataclasses.Field)]
    declared += [field for name, field in inherited.items() if name not in own and not field.metadata.get("derived")]
    covered = {field.metadata.get("bias_of") for field in declared}
    gates = inspect.getattr_static(cls, "gates")
    words = gates if isinstance(gates, Mapping) and all(map(is_name, gates.values())) else {}  # `check` refuses others
    sources = inspect.getattr_static(cls, "sources")
    unweighted = [gate for gate, kind in sources.items() if kind in ("raw", "time")] if isinstance(sources, Mapping) else []
    words = {gate: word for gate, word in words.items() if gate not in unweighted}
    wanted = {f"{word}_bias": gate for gate, word in words.items() if gate not in covered}
    wanted = {name: gate for name, gate in wanted.items() if not _taken(cls, name, own)}
    added: dict[str, Any] = {}
    for name, field in inherited.items():
        if field.metadata.get("derived") and name not in own and name not in wanted:
            added[name] = ClassVar[float]  # a dataclass can lose an inherited field in no other way
    for name, gate in wanted.items():
        if name not in inherited or inherited[name].metadata.get("bias_of") != gate:
            added[name] = float
            setattr(cls, name, _derived(gate, words[gate]))
    cls.__annotations__ = own | added


def _inherited(cls: type) -> "dict[str, dataclasses.Field[Any]]":
    """The fields of all bases, as the decorator collects them, without those that a base has hidden."""
    found: dict[str, dataclasses.Field[Any]] = {}
    for base in reversed(cls.__mro__[1:]):
        if "__dataclass_fields__" in vars(base):
            every = vars(base)["__dataclass_fields__"]
            found = {name: field for name, field in found.items() if name not in every}
            found |= {field.name: field for field in dataclasses.fields(base)}
    return found


def _taken(cls: type, name: str, own: Mapping[str, Any]) -> bool:
    """Whether the class has an option or member of this name that was not derived."""
    inherited = _inherited(cls).get(name)
    if name in own or name in vars(cls) or (inherited is not None and not inherited.metadata.get("derived")):
        return True
    return any(name in vars(base) and name not in vars(base).get("__dataclass_fields__", {}) for base in cls.__mro__[1:])


def _derived(gate: str, word: str) -> Any:
    """Keyword-only, so that a derived class may have an option without a default."""
    metadata = option(0.0, f"initial bias of '{word}'", bias_of=gate, derived=True).metadata
    return dataclasses.field(default=0.0, kw_only=True, metadata=metadata)


def initial_biases(cell: Any) -> dict[str, float]:
    """The initial biases by pre-activation, for those that have an option."""
    gates = {field.name: field.metadata.get("bias_of") for field in dataclasses.fields(cell)}
    return {gate: getattr(cell, name) for name, gate in gates.items() if gate is not None}
