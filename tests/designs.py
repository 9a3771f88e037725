"""Covering designs: with which values of which axes each entry of a registry is tested.

A test over every entry and every combination of shapes, number formats and options grows with their product. A design grows with
the entries alone, and keeps what such a test finds:

- Every entry meets every value of every axis, in as many rows as the longest axis has values (or in as many as a test asks for).
- Every two values of two axes meet somewhere in the registry.

What an entry meets follows from its name, so that another entry leaves the others as they are. Only in a small registry, where two
values would meet nowhere, does an entry get rows more; another entry may take these over.
"""

import hashlib
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

_Row = tuple[int, ...]  # for each axis the index of a value
_Part = tuple[tuple[int, int], ...]  # (axis, index of a value), once or twice


def indices(entries: Iterable[str], lengths: Sequence[int], rows: int | None = None) -> dict[str, list[_Row]]:
    """The rows of every entry.

    Args:
        entries: names.
        lengths: the number of values of each axis.
        rows: rows of an entry; by default as many as the longest axis has values, so that the entry meets every value. With fewer,
            every value and every two values of two axes still meet some entry.

    Returns:
        For each entry its rows, each with the index of a value for each axis.
    """
    chosen = {entry: _own(entry, tuple(lengths), rows or max(lengths, default=1)) for entry in entries}
    met = {part for own in chosen.values() for row in own for part in _parts(row)}
    for part in _all_parts(lengths):
        if part not in met and chosen:
            entry = min(chosen, key=lambda name: _rank(name, part))
            row = [_rank(entry, part, axis) % length for axis, length in enumerate(lengths)]
            for axis, value in part:
                row[axis] = value
            chosen[entry].append(tuple(row))
            met.update(_parts(tuple(row)))
    return {entry: list(dict.fromkeys(own)) for entry, own in chosen.items()}


def over(
    name: str,
    entries: Iterable[Any],
    rows: int | None = None,
    quick: Callable[..., bool] = lambda *_: False,
    **axes: Iterable[Any],
) -> pytest.MarkDecorator:
    """Parametrises a test with an entry and a value of each axis.

    Args:
        name: the argument that gets the entry. Its `str` is its name.
        entries: the entries.
        rows: see `indices`.
        quick: whether a test is in the quick tier, by the entry and the values; by default, all are slow.
        axes: for each further argument its values. A `pytest.param` gives a value a name.
    """
    known = {str(entry): entry for entry in entries}
    choices = {axis: [(_value(value), _label(value)) for value in values] for axis, values in axes.items()}
    cases = []
    for entry, own in indices(known, [len(values) for values in choices.values()], rows).items():
        for row in own:
            met = [values[index] for values, index in zip(choices.values(), row, strict=True)]
            values = [value for value, _ in met]
            marks = [] if quick(known[entry], *values) else [pytest.mark.slow]
            cases.append(pytest.param(known[entry], *values, id="-".join([entry, *(label for _, label in met)]), marks=marks))
    return pytest.mark.parametrize((name, *choices), cases)


def _own(entry: str, lengths: tuple[int, ...], count: int) -> list[_Row]:
    """Every value equally often, and among these the ones that have met the fewest of the others in the row."""
    rows: list[_Row] = []
    counts = [[0] * length for length in lengths]
    met: set[_Part] = set()
    for number in range(count):
        row: list[int] = []
        for axis, length in enumerate(lengths):
            costs = []
            for value in range(length):
                known = sum(((other, row[other]), (axis, value)) in met for other in range(axis))
                costs.append((counts[axis][value], known, _rank(entry, number, axis, value), value))
            row.append(min(costs)[-1])
            counts[axis][row[-1]] += 1
        rows.append(tuple(row))
        met.update(_parts(rows[-1]))
    return rows


def _parts(row: _Row) -> list[_Part]:
    """The values of a row, one by one and in twos."""
    values = list(enumerate(row))
    return [*((value,) for value in values), *itertools.combinations(values, 2)]


def _all_parts(lengths: Sequence[int]) -> list[_Part]:
    axes = [[(axis, value) for value in range(length)] for axis, length in enumerate(lengths)]
    single = [(value,) for values in axes for value in values]
    return [*single, *(part for two in itertools.combinations(axes, 2) for part in itertools.product(*two))]


def _rank(*parts: object) -> int:
    """A number that follows from the parts alone, in every process."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8])


def _is_param(value: Any) -> bool:
    return isinstance(value, type(pytest.param(None)))


def _value(value: Any) -> Any:
    return value.values[0] if _is_param(value) else value


def _label(value: Any) -> str:
    if _is_param(value):
        return str(value.id)
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value).removeprefix("torch.")
