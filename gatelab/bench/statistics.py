"""Medians over rounds, and ratios within them: noise of a shared machine hits all columns of a round alike."""

import statistics
from collections.abc import Mapping

Times = Mapping[int, float]  # seconds by the number of the round


def median(times: Times) -> float:
    """The median over the rounds."""
    return statistics.median(times.values())


def ratio(slow: Times, fast: Times) -> float:
    """How many times faster: the median of slow / fast over the rounds that measured both; nan without such a round."""
    both = [slow[number] / fast[number] for number in slow if number in fast]
    return statistics.median(both) if both else float("nan")


def spread(times: Times) -> float:
    """Half the distance between the quartiles, as a fraction of the median; nan for less than two rounds."""
    if len(times) < 2:
        return float("nan")
    low, middle, high = statistics.quantiles(times.values(), n=4, method="inclusive")
    return (high - low) / 2 / middle
