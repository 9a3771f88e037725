"""Random search: intervals among the overrides become draws, the same for every variant."""

import hashlib
import math
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import IntervalSweep, Override

from gatelab.registry import UserError, unknown

TAGS = ("log", "one_minus")
EXAMPLE = "optimizer.lr='tag(log, interval(1e-4, 1e-2))'"


def split(overrides: list[Override], trials: int, seed: int) -> list[list[str]]:
    """The overrides of every job: for every trial its draws with every combination of all other values.

    A draw follows from (seed, trial, key) alone. So variants share their draws, and more trials begin with those of fewer.

    Raises:
        UserError: nothing is an interval, or one cannot be drawn from.
    """
    drawn = [override for override in overrides if isinstance(override.value(), IntervalSweep)]
    if not drawn:
        raise UserError(f"hydra/sweeper=random draws from intervals, and none is given. Give one, as in {EXAMPLE}.")
    grid = BasicSweeper.split_arguments([override for override in overrides if override not in drawn], None)[0]
    jobs = []
    for trial in range(trials):
        draws = [f"{override.get_key_element()}={_draw(override, seed, trial)}" for override in drawn]
        jobs += [[*job, *draws] for job in grid]
    return jobs


def _draw(override: Override, seed: int, trial: int) -> str:
    key, interval = override.get_key_element(), override.value()
    assert isinstance(interval, IntervalSweep)
    low, high, tags = _bounds(override, interval)
    word = hashlib.sha256(f"{seed}/{trial}/{key}".encode()).digest()[:8]
    u = (int.from_bytes(word, "little") >> 11) * 2.0**-53
    whole = isinstance(interval.start, int) and isinstance(interval.end, int)
    top = high + 1 if whole else high  # every whole number from low to high is a bin of the line, of its own width
    value = math.exp(math.log(low) + u * (math.log(top) - math.log(low))) if "log" in tags else low + u * (top - low)
    if "one_minus" in tags:
        value = 1 - value
    return str(min(math.floor(value), int(high))) if whole else f"{value:.6g}"


def _bounds(override: Override, interval: IntervalSweep) -> tuple[float, float, set[str]]:
    text = override.input_line
    start: Any = interval.start
    end: Any = interval.end
    if not (isinstance(start, int | float) and isinstance(end, int | float) and start < end):
        raise UserError(f"'{text}': an interval needs a low and a higher number, as in {EXAMPLE}.")
    tags = {str(tag) for tag in interval.tags}
    for tag in tags:
        if tag not in TAGS:
            raise UserError(f"'{text}': {unknown('tag', tag, TAGS)}")
    if "log" in tags and start <= 0:
        raise UserError(f"'{text}': a log-uniform interval begins above 0.")
    return float(start), float(end), tags
