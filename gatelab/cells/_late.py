"""Pre-activations whose recurrent product reads something else than the state that is fed back: what a cell declares as `late`."""

import functools
from collections.abc import Collection, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gatelab.registry.contract import BrokenError, base_of, kind_of

if TYPE_CHECKING:
    from gatelab.cells._cell import Cell


def reads_of(cell: "Cell", gate: str) -> tuple[str, ...]:
    """What the product of a late pre-activation reads: parts of the state and values; empty for the others."""
    names = cell.late.get(gate, ())
    return (names,) if isinstance(names, str) else names


def values_of(cell: "Cell") -> tuple[str, ...]:
    """The values that `before` returns, in the order in which `late` names them."""
    return tuple(dict.fromkeys(name for gate in cell.late for name in reads_of(cell, gate) if name not in cell.state))


def yielded(cell: "Cell", a: Any, s: Any, p: Any) -> Iterator[Mapping[str, Tensor]]:
    """What `before` returns, in one piece, or yields, piece by piece; it runs when the first piece is asked for."""
    if not values_of(cell):
        return
    found = cell.before(a, s, p)
    if isinstance(found, Mapping):
        yield found
    else:
        yield from found


def ready(cell: "Cell", pending: Iterable[str], known: Collection[str]) -> list[str]:
    """The late pre-activations among `pending` whose product can be computed from what is known."""
    return [name for name in pending if all(read in known for read in reads_of(cell, name))]


@functools.lru_cache(maxsize=1024)
def stages(cell: "Cell") -> tuple[tuple[str, ...], ...]:
    """The names of the values, a tuple for each time that `before` yields, found by running it."""
    if not values_of(cell):
        return ()
    groups = (cell.gates, cell.state, cell.vectors)
    with torch.no_grad():
        parts = [SimpleNamespace(**{name: torch.full((1,), 0.5, device="cpu") for name in names}) for names in groups]
        return tuple(tuple(values) for values in yielded(cell, *parts))


def stage_of(cell: "Cell") -> dict[str, int]:
    """For every pre-activation how often `before` has yielded when it is computed: 0 for those that read states only."""
    at = dict.fromkeys(cell.state, 0) | {name: number for number, names in enumerate(stages(cell), 1) for name in names}
    return {gate: max((at[name] for name in reads_of(cell, gate)), default=0) for gate in cell.gates}


def check_late(cell: "Cell") -> None:
    """Refuses a declaration `late` that cannot be used.

    Raises:
        BrokenError: the message says what is declared and what is accepted.
    """
    cls = type(cell)
    has_before = cls.before is not base_of(cls).before
    for gate in cell.late:
        if gate not in cell.gates:
            raise BrokenError(f"late names '{gate}', which is not among {', '.join(cell.gates)}; `gates` declares those")
        if cell.sources.get(gate, "recurrent") != "recurrent":
            raise BrokenError(f"`sources` gives '{gate}' no recurrent product, but `late` says what its recurrent product reads")
        names = reads_of(cell, gate)
        if not names or len(set(names)) < len(names):
            raise BrokenError(f"`late` gives '{gate}' {cell.late[gate]!r}, but it must be one or several different names")
    for gate in cell.late:
        if f"R_{gate}" in cell.vectors:
            raise BrokenError(f"the vector 'R_{gate}' must have another name: it is the matrix of the late pre-activation '{gate}'")
    if values_of(cell) and not has_before:
        raise BrokenError(
            f"`late` reads {', '.join(values_of(cell))}, which is not a part of the state; class {cls.__name__} needs a method "
            "`before` that returns it: def before(self, a, s, p)"
        )
    if has_before and not values_of(cell):
        raise BrokenError(
            'it has a method `before`, but no pre-activation reads what it returns; declare one, as in late = {"n": "v"}'
        )
    if cell.late and cell.peer is not None:
        raise BrokenError(f"peer {cell.peer.__name__} has no late pre-activations; declare no peer")


def check_kind(value: Any) -> None:
    """Refuses a `late` of the wrong type.

    Raises:
        BrokenError: the message shows the right one.
    """

    def is_read(read: Any) -> bool:
        return isinstance(read, str) or (isinstance(read, tuple) and all(isinstance(name, str) for name in read))

    if not isinstance(value, Mapping) or not all(isinstance(gate, str) and is_read(read) for gate, read in value.items()):
        raise BrokenError(
            f"`late` is {value!r}, but it must be a dict from pre-activations to the names that their products read, as in "
            'late = {"n": "v"} or late = {"u": ("h", "v")}'
        )


def run_before(cell: "Cell", parts: dict[str, Any]) -> dict[str, Tensor]:
    """Runs `before` with the pre-activations that it can have, and checks the names of what it returns.

    Args:
        cell: the cell.
        parts: "a", "s" and "p", all of each. Late pre-activations are removed from "a" and come back as soon as they could be
            computed.

    Returns:
        All values by name.

    Raises:
        BrokenError: it returns something else than a dict or dicts, or other names than `late` reads.
    """
    a, s, p = parts["a"], parts["s"], parts["p"]
    pending = {name: vars(a).pop(name) for name in cell.late}
    known = dict(vars(s))

    def complete() -> None:
        for name in ready(cell, pending, known):
            setattr(a, name, pending.pop(name))

    complete()
    found: dict[str, Tensor] = {}
    returned = cell.before(a, s, p) if values_of(cell) else {}
    if not isinstance(returned, Mapping | Iterator):
        raise BrokenError(f"before returns {kind_of(returned)}, but it must return a dict from names to tensors")
    for values in [returned] if isinstance(returned, Mapping) else returned:
        if not isinstance(values, Mapping):
            raise BrokenError(f"before yields {kind_of(values)}, but it must yield dicts from names to tensors")
        for name in values:
            if name not in values_of(cell):
                raise BrokenError(f"before returns '{name}', but `late` reads {', '.join(values_of(cell))}")
            if name in found:
                raise BrokenError(f"before yields '{name}' twice; it must yield every value once")
        found |= values
        known |= values
        complete()
    missing = [name for name in values_of(cell) if name not in found]
    if missing:
        raise BrokenError(f"before returns {', '.join(found) or 'nothing'}, but `late` also reads {', '.join(missing)}")
    return found


def unavailable(cell: "Cell", name: str) -> str:
    """Why `before` cannot read a late pre-activation."""
    return (
        f"before reads a.{name}, which is late: its product reads {', '.join(reads_of(cell, name))}, which before has not returned "
        "yet; yield that first, or read it in step"
    )
