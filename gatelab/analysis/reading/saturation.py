"""From where on a gate counts as saturated: options of the runs, trainer.saturated_below and trainer.saturated_above."""

import math
from collections.abc import Iterable, Mapping

from gatelab.config import Trainer

BELOW, ABOVE = Trainer.saturated_below, Trainer.saturated_above


def limits_of(config: Mapping[str, str]) -> tuple[float, float]:
    """The limits of a configuration, dotted keys to values as text.

    Returns:
        Below and above; the defaults where the configuration has none, nan where a damaged one has something else.
    """
    return _float_or_nan(config.get("trainer.saturated_below", BELOW)), _float_or_nan(config.get("trainer.saturated_above", ABOVE))


def limits_in_words(limits: Iterable[tuple[float, float]]) -> tuple[str, str]:
    """Both limits, "0.1" and "0.9"; where they differ, all of them: "0.05 or 0.1 (by the options of the run)"."""
    below, above = zip(*limits, strict=True)
    return _in_words({*below}), _in_words({*above})


def _float_or_nan(value: str | float) -> float:
    try:
        return float(value)
    except ValueError:
        return math.nan


def _in_words(values: set[float]) -> str:
    words = " or ".join(f"{value:g}" for value in sorted(values))
    return words if len(values) == 1 else f"{words} (by the options of the run)"
