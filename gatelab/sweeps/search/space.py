"""The space of a search: the options that are searched over, their values, and their conditions.

```yaml
optimizer: choice(adamw, sgd)
optimizer.lr: tag(log, interval(1e-4, 1e-1))
optimizer.momentum: interval(0.5, 0.99) if optimizer=sgd
cell.window: int(interval(5, 50)) if cell=attention
```

A line has an option and its values in Hydra's grammar; a condition after `if` tells when the option is searched.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep
from hydra.errors import HydraException

from gatelab.errors import UserError, unknown
from gatelab.sweeps.search.draws import DrawInterval

if TYPE_CHECKING:
    from optuna import Trial

_CONDITION = re.compile(r"(?P<key>[\w.]+)=(?P<values>[^\s,]+(,[^\s,]+)*)")


@dataclass(frozen=True)
class Domain:
    """One option of a space.

    Attributes:
        key: the option; `text`: its values as written; `where`: the file or the command line.
        values: an interval, or the possible values in Hydra's notation.
        conditions: all must hold for it to be searched: (option, the values it may have).
    """

    key: str
    text: str
    where: str
    values: DrawInterval | tuple[str, ...]
    conditions: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def holds(self, known: Mapping[str, str]) -> bool:
        """Whether the conditions hold for these values of options."""
        return all(known.get(key) in accepted for key, accepted in self.conditions)

    def suggest(self, trial: "Trial") -> str:
        """Optuna's choice for a trial, in the notation of the option."""
        if not isinstance(self.values, DrawInterval):
            return self.values[0] if len(self.values) == 1 else str(trial.suggest_categorical(self.key, self.values))
        low, high, log = self.values.low, self.values.high, self.values.log
        if self.values.whole:
            return self.written(trial.suggest_int(self.key, int(low), int(high), log=log))
        return self.written(trial.suggest_float(self.key, low, high, log=log))

    def written(self, value: Any) -> str:
        """A value that Optuna stores, in the notation of the option."""
        return self.values.option(value) if isinstance(self.values, DrawInterval) else str(value)

    def at(self, u: float) -> str:
        """The value at u in [0, 1) of its distribution function, in the notation of the option; all choices are as likely."""
        if isinstance(self.values, DrawInterval):
            return self.values.option(self.values.at(u))
        return self.values[int(u * len(self.values))]

    def example(self, index: int) -> str:
        """One of the extreme values, in turn: if these are accepted, so are those between."""
        if isinstance(self.values, DrawInterval):
            return self.values.option((self.values.low, self.values.high)[index % 2])
        return self.values[index % len(self.values)]


@dataclass(frozen=True)
class Space:
    """The searched options, ordered so that every condition refers to options above it.

    Attributes:
        given: values of options that are not searched, but appear in conditions.
    """

    domains: tuple[Domain, ...]
    given: Mapping[str, str]

    def active(self, chosen: Any) -> Iterator[tuple[Domain, str]]:
        """The options that one trial searches, with their values.

        Args:
            chosen: returns the value of a domain, in its notation; called in order, for those whose conditions hold.
        """
        known = dict(self.given)
        for domain in self.domains:
            if domain.holds(known):
                known[domain.key] = chosen(domain)
                yield domain, known[domain.key]

    def suggest(self, trial: "Trial") -> list[str]:
        """The overrides of an Optuna trial."""
        return [f"{domain.key}={value}" for domain, value in self.active(lambda domain: domain.suggest(trial))]

    def written(self, params: Mapping[str, Any]) -> dict[str, str]:
        """The options of a trial from the parameters that Optuna stores."""
        chosen = self.active(lambda item: item.written(params[item.key] if item.key in params else item.example(0)))
        return {domain.key: value for domain, value in chosen}

    def examples(self) -> list[list[str]]:
        """Overrides that together test whether every option exists and accepts its extreme values.

        Every combination of group choices (whose options differ), and with each of them every other choice and
        both ends of every interval.
        """
        groups = [domain for domain in self.domains if "." not in domain.key and not isinstance(domain.values, DrawInterval)]
        others = [domain for domain in self.domains if domain not in groups]
        turns = max([len(item.values) if isinstance(item.values, tuple) else 2 for item in others], default=1)
        found = []
        for choice in product(*(domain.values for domain in groups)):  # type: ignore[arg-type]
            chosen = {domain.key: value for domain, value in zip(groups, choice, strict=True)}
            for turn in range(turns):
                jobs = self.active(lambda item, chosen=chosen, turn=turn: chosen.get(item.key) or item.example(turn))
                found.append([f"{domain.key}={value}" for domain, value in jobs])
        return [list(job) for job in dict.fromkeys(map(tuple, found))]


def searched(override: Override) -> bool:
    """Whether an override asks for a search: `interval(...)` or `choice(...)`. `a,b` and `range(...)` make variants instead."""
    value = override.value()
    return isinstance(value, IntervalSweep) or (isinstance(value, ChoiceSweep) and not value.simple_form)


def read_domains(overrides: list[Override], file: Path | None) -> tuple[Domain, ...]:
    """The domains of a YAML file and of the command line, which has precedence.

    Raises:
        UserError: the file cannot be read, a line is malformed, or a condition refers to an option further below.
    """
    found = {} if file is None else {key: _domain(key, text, str(file)) for key, text in _lines(file).items()}
    written = {override.get_key_element(): override for override in overrides if searched(override)}
    own = {key: _read(override, "the command line", ()) for key, override in written.items()}
    domains = tuple(({key: value for key, value in own.items() if key not in found} | found | own).values())
    for index, domain in enumerate(domains):
        later = {item.key for item in domains[index:]}
        for key, accepted in domain.conditions:
            if key in later:
                raise UserError(f"{domain.where}: the condition of {domain.key} is about {key}, which must come before it.")
            about = next((item.values for item in domains if item.key == key and "." in key), None)
            for value in accepted:
                if isinstance(about, tuple) and value not in about:
                    raise UserError(f"{domain.where}, {domain.key}: {unknown(f'value of {key}', value, about)}")
    return domains


class _Loader(yaml.BaseLoader):
    """Loads every value as text; refuses a duplicate key, of which YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = super().construct_mapping(node, deep)
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in found:
            if keys.count(key) > 1:
                raise yaml.YAMLError(f"'{key}' is given {keys.count(key)} times; leave out all but one")
        return found


def _lines(file: Path) -> dict[str, str]:
    try:
        raw = yaml.load(file.read_text("utf-8"), _Loader)
    except OSError as error:
        raise UserError(f"hydra.sweeper.space: {file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"hydra.sweeper.space: {file} is not valid UTF-8 (byte {error.start}).") from error
    except yaml.YAMLError as error:
        raise UserError(f"hydra.sweeper.space: {file} cannot be read as YAML: {' '.join(str(error).split())}.") from error
    if not isinstance(raw, dict) or not all(isinstance(value, str) for value in raw.values()):
        raise UserError(f"{file}: a space is lines of the form `optimizer.lr: tag(log, interval(1e-4, 1e-2))`.")
    return raw


def _domain(key: str, line: str, where: str) -> Domain:
    text, _, condition = line.partition(" if ")
    conditions = []
    for part in re.split(r"\s+and\s+", condition) if condition else []:
        match = _CONDITION.fullmatch(part.strip())
        if match is None:
            raise UserError(f"{where}, {key}: '{part}' is not a condition. Write conditions as in `if optimizer=sgd,rmsprop`.")
        conditions.append((match["key"], tuple(match["values"].split(","))))
    try:
        override = OverridesParser.create().parse_override(f"{key}={text.strip()}")
    except HydraException as error:
        raise UserError(f"{where}, {key}: '{text}' cannot be read. Write interval(low, high) or choice(a, b).") from error
    return _read(override, where, tuple(conditions))


def _read(override: Override, where: str, conditions: tuple[tuple[str, tuple[str, ...]], ...]) -> Domain:
    key, value = override.get_key_element(), override.value()
    text = (
        str(override.get_value_element_as_str()) if not override.is_sweep_override() else str(override.input_line).partition("=")[2]
    )
    if isinstance(value, IntervalSweep):
        values: Any = DrawInterval.read(override)
    elif isinstance(value, ChoiceSweep) and not value.simple_form:
        values = tuple(map(str, override.sweep_string_iterator()))
    elif isinstance(value, (ChoiceSweep, RangeSweep)):
        raise UserError(
            f"{where}, {key}: '{text}' makes variants, which belong on the command line. To search over it, write choice(a, b)."
        )
    else:
        values = (text,)  # fixed, perhaps under a condition
    return Domain(key, text, where, values, conditions)
