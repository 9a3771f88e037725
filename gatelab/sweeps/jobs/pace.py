"""Lines on how far a command is that looks at very many runs before it trains the first one."""

import time
from collections.abc import Iterator, Sequence
from typing import TypeVar

from gatelab.analysis.reading.status import duration
from gatelab.process.output import say

SECONDS_BETWEEN = 5.0  # two lines

T = TypeVar("T")


def paced(items: Sequence[T], verb: str) -> Iterator[T]:
    """Hands out items one by one; where that takes long it says now and then how many are done and how long the others will take.

    Args:
        items: one for each run.
        verb: what is done to them, in the past tense.
    """
    started = said = time.monotonic()
    for number, item in enumerate(items):
        now = time.monotonic()
        if number and now - said >= SECONDS_BETWEEN:
            left = (now - started) / number * (len(items) - number)
            say(f"{verb} {number:,} of {len(items):,} runs; about {duration(left)} left.", stderr=True)
            said = now
        yield item
