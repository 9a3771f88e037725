"""False findings of whole families of tests, and what they find of what is there."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from gatelab.analysis.calibration.measured import Measured, family_of, share_of
from gatelab.analysis.calibration.truths import Truth
from gatelab.analysis.statistics.differences import Draft, Family, adjusted, tests_of
from gatelab.analysis.statistics.intervals import LEVEL
from gatelab.analysis.statistics.pairs import ahead_of
from gatelab.analysis.statistics.ranks import average_ranks

ALPHA = 1 - LEVEL
_ERROR = 0.19  # the standard error over several tasks that is wanted, times the root of the repetitions: .006 for 1,000
_MOST = 20  # families of a simulation, in repetitions


def family_error(
    truths: Sequence[Truth], n: int, on_time: bool, pairs: bool, tasks: int, repetitions: int, rng: np.random.Generator
) -> list[Measured]:
    """How often a comparison of several variants that do not differ finds a difference, over one task and over several.

    Families are simulated until the standard error for several tasks is below .19 / sqrt(repetitions), .006 for 1,000, but at most
    20 times `repetitions`. Each family is used once.

    Args:
        truths: of the baseline and of the variants, which must have the same mean on their scale.
        pairs: compare the runs of equal seeds.
        tasks: how many the second result is for.
    """
    alone: list[bool | None] = []
    together: list[bool | None] = []
    wanted = _ERROR / math.sqrt(repetitions)
    while len(alone) < _MOST * repetitions and not (alone and share_of(together).error < wanted):
        for _ in range(max(2, repetitions // (2 * tasks))):
            families = [tests_of(family_of(truths, n, rng, on_time), pairs) for _ in range(tasks)]
            alone += [_finds([family]) for family in families]
            together.append(_finds(families))
    return [share_of(alone), share_of(together)]


def _finds(families: list[list[Draft]]) -> bool:
    """Whether there is a finding among all tests together."""
    return any(p is not None and p < ALPHA for family in adjusted(families, ALPHA) for p in family)


def ranks_error(variants: int, tasks: int, repetitions: int, rng: np.random.Generator) -> Measured:
    """How often two variants of several that are alike have average ranks that are further apart than the critical difference."""
    hits = []
    for values in rng.standard_normal((repetitions, tasks, variants)):
        found = average_ranks(values)
        assert found.critical is not None
        hits.append(bool(np.ptp(found.ranks) > found.critical))
    return share_of(hits)


def leader_error(variants: int, n: int, repetitions: int, rng: np.random.Generator) -> Measured:
    """How often the variant with the largest median is called ahead of one that is like it."""
    return share_of(bool(ahead_of(list(values), LEVEL)) for values in rng.standard_normal((repetitions, variants, n)))


def power(draw: Callable[[np.random.Generator], Family], repetitions: int, rng: np.random.Generator) -> Measured:
    """How often the first variant of a family is found to be better."""
    hits = []
    for _ in range(repetitions):
        drafts = tests_of(draw(rng), False)
        (ps,) = adjusted([drafts], ALPHA)
        hits.append(ps[0] is not None and ps[0] < ALPHA and drafts[0].better)
    return share_of(hits)
