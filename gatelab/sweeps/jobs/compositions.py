"""Many compositions that differ in values: Hydra composes once for each set of choices, then the values are set.

Composing takes 0.1 s, which adds up to minutes for a thousand jobs. Overrides other than `key=value` are left to Hydra.
"""

import copy
import functools
from collections.abc import Callable, Collection, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

PLAIN = ("seed", "data_seed", "out", "sweep")  # values at the top level; a key with a dot is a value, too
ABOUT_THE_SWEEP = ("hydra.launcher.", "hydra.sweeper.")


class Compositions:
    """Composes jobs.

    Args:
        compose: Hydra's own composition of the overrides of a job.
        groups: keys that choose a file or a class (`cell`, `trainer`).
        directory: the expression of the run directory. Where it is another one, it may depend on anything, and Hydra composes.
    """

    def __init__(self, compose: Callable[[list[str]], DictConfig], groups: Collection[str], directory: str) -> None:
        self._compose, self._groups, self._directory = compose, groups, directory
        self._alone: dict[tuple[str, ...], DictConfig] = {}
        self._bases: dict[tuple[tuple[str, ...], tuple[str, ...]], DictConfig | None] = {}

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """Hydra's composition of these overrides; the next call may change it in place.

        Raises:
            HydraException, OmegaConfBaseException: it refuses them.
        """
        parsed = [_parse(text) for text in overrides]
        values = [item for item in parsed if self._sets_a_value(item)]
        choices = [item for item in parsed if not self._sets_a_value(item)]
        if not values or not all(map(self._chooses, choices)):
            return self._compose([*overrides])
        # All jobs of a base set the same keys, so that none keeps a value of another.
        key = tuple(str(item.input_line) for item in choices), tuple(item.key_or_group for item in values)
        if key not in self._bases:
            self._bases[key] = self._base(key[0])
        base = self._bases[key]
        if base is None:
            return self._compose([*overrides])
        try:
            for item in values:
                OmegaConf.update(base, item.key_or_group, item.value(), merge=True)
        except (HydraException, OmegaConfBaseException) as error:
            if getattr(error, "full_key", None) in key[1]:
                raise  # a single value, so that Hydra's reason names it
            return self._compose([*overrides])  # refuses them as well, and says why in Hydra's words
        return base

    def alone(self, choices: Sequence[str]) -> DictConfig:
        """Hydra's composition of these choices without values; it must not be changed.

        Raises:
            HydraException, OmegaConfBaseException: it refuses them.
        """
        key = (*choices,)
        if key not in self._alone:
            self._alone[key] = self._compose([*choices])
        return self._alone[key]

    def _base(self, choices: Sequence[str]) -> DictConfig | None:
        base = copy.deepcopy(self.alone(choices))
        plain: Any = OmegaConf.to_container(base, resolve=False)
        own = {name: value for name, value in plain.items() if name != "hydra"}
        return base if plain["hydra"]["run"]["dir"] == self._directory and not _refers(own) else None

    def _sets_a_value(self, item: Override) -> bool:
        key, value = item.key_or_group, item.value()
        if not _is_plain(item) or key.startswith("hydra") or not ("." in key or key in PLAIN):
            return False
        return value is None or (isinstance(value, (bool, int, float, str)) and not _refers(value) and value != "???")

    def _chooses(self, item: Override) -> bool:
        key = item.key_or_group
        chooses = key in self._groups or key == "plugins" or key.startswith(("hydra/", *ABOUT_THE_SWEEP))
        return chooses and _is_plain(item) and not isinstance(item.value(), dict)


@functools.cache
def _parse(text: str) -> Override:
    return OverridesParser.create().parse_overrides([text])[0]


def _is_plain(item: Override) -> bool:
    return item.package is None and not (item.is_delete() or item.is_add() or item.is_force_add() or item.is_sweep_override())


def _refers(value: Any) -> bool:
    """Whether a value, or one in it, is an interpolation."""
    if isinstance(value, dict):
        return any(map(_refers, value.values()))
    if isinstance(value, list):
        return any(map(_refers, value))
    return isinstance(value, str) and "${" in value
