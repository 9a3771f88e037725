"""Options as a reader knows them: dotted keys with values as they are written on the command line."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any


class OptionValues(Mapping[str, str]):
    """Options with their values as text, "model.hidden_size" to "128": what sets a variant or a task apart from others.

    It can be a key and can be sorted. As text it is "model.hidden_size=128, optimizer.lr=0.1", which is for people alone: a value
    may hold a comma or an equals sign, as that of a list does.

    Args:
        values: in the order in which they are shown.
    """

    def __init__(self, values: Mapping[str, str] | None = None) -> None:
        self._values = dict(values or {})

    def __getitem__(self, key: str) -> str:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __lt__(self, other: "OptionValues") -> bool:
        return str(self) < str(other)

    def __str__(self) -> str:
        return ", ".join(self.written)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._values})"

    @property
    def written(self) -> list[str]:
        """Each option as on the command line, "model.hidden_size=128"."""
        return [f"{key}={value}" for key, value in self._values.items()]


def flat(value: Any, prefix: str = "") -> dict[str, str]:
    """Nested containers as dotted keys, with values as they are written on the command line."""
    if isinstance(value, Mapping) and (value or not prefix):
        return {key: leaf for name, item in value.items() for key, leaf in flat(item, f"{prefix}{name}.").items()}
    return {prefix[:-1]: value if isinstance(value, str) else json.dumps(value)}


def label(entry: str, options: OptionValues) -> str:
    """What a variant or a task is called outside of a table: the cell or the task, and what sets it apart."""
    return f"{entry}, {options}" if options else entry


def short_options(options: Iterable[OptionValues]) -> dict[OptionValues, OptionValues]:
    """Options without their group, "hidden_size=128", unless two groups have an option of that name."""
    options = set(options)
    keys = {key for values in options for key in values}
    short = {key: key.rpartition(".")[2] for key in keys}
    if len(set(short.values())) < len(short):
        return {values: values for values in options}
    return {values: OptionValues({short[key]: value for key, value in values.items()}) for values in options}
