"""Progress lines of a command that checks very many runs before it trains the first one."""

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from gatelab.analysis.reading.status import duration
from gatelab.process.output import say

SECONDS_BETWEEN = 5.0  # between two lines

T = TypeVar("T")


def paced(items: Sequence[T], verb: str) -> Iterator[T]:
    """Yields items one by one; if that takes long, it prints from time to time how many are done and how long the others will take.

    Args:
        items: one for each run.
        verb: the action, in the past tense.
    """
    started = said = time.monotonic()
    for number, item in enumerate(items):
        now = time.monotonic()
        if number and now - said >= SECONDS_BETWEEN:
            left = (now - started) / number * (len(items) - number)
            say(f"{verb} {number:,} of {len(items):,} runs; about {duration(left)} left.", stderr=True)
            said = now
        yield item
