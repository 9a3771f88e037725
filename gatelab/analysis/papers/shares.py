"""Claims about shares of the variance over a search: each share with the measured error of its method."""

import math
from collections.abc import Mapping, Sequence

from gatelab.analysis.importance.errors import with_error
from gatelab.analysis.papers.claims import ALPHA, UNDECIDED, Verdict
from gatelab.analysis.reading.quantities import INTERACTIONS, of_variance
from gatelab.analysis.statistics.intervals import Interval


def share_with_error(quantity: str, shares: Mapping[str, float], n: int) -> Interval:
    """A quantity of a search with its interval.

    A share has the interval of `with_error`, which holds what random functions of known shares did to the method with as many
    draws, their sampling included. A lead lies between its lower end less the highest end of another share, and its upper end less
    the highest lower end; each of these intervals may miss.

    Args:
        quantity: as `quantities` has it, "share optimizer.lr".
        shares: by option, of one arm.
        n: runs of the arm.

    Returns:
        The estimate; no bounds where no error is known for so few runs or so many options.
    """
    form, option, value = of_variance(quantity, shares)
    if option == INTERACTIONS:
        return with_error(Interval(value, None, None), n, len(shares), interactions=True)
    every = {key: with_error(Interval(share, None, None), n, len(shares)) for key, share in shares.items()}
    own, others = every[option], [interval for key, interval in every.items() if key != option]
    if form == "share":
        return own
    lows, highs = (
        [other.low for other in others if other.low is not None],
        [other.high for other in others if other.high is not None],
    )
    if own.low is None or own.high is None or not lows or len(lows) < len(others):
        return Interval(value, None, None)
    return Interval(value, own.low - max(highs), own.high - max(lows))


def judge_shares(comparison: str, quantity: str, arms: Sequence[Mapping[str, float]], n: Sequence[int], margin: float) -> Verdict:
    """The p-values of a claim that a share lies above or below a level in every arm, as `claims.judge`.

    An arm lies above where its whole interval does, which has a probability of at most 0.025 (`ALPHA`) if it does not, of a lead
    times the number of options. The claim holds if all arms do, whatever their dependence (intersection-union test). It does not
    hold where the intervals of all arms lie on the other side: one would be enough, but the errors of arms that share their draws
    are not independent. No p is smaller than 0.025, so that `claims.decide`, which counts looks and claims, leaves such a claim
    undecided: its interval is shown.

    Args:
        comparison: "above" or "below"; others compare arms with each other and stay undecided.
        arms: the shares of each, by option; `n`: its runs.

    Returns:
        The verdict, undecided so far, with the interval of the arm that decides: the nearest to the level.
    """
    counts = tuple(n)
    found = [share_with_error(quantity, shares, runs) for shares, runs in zip(arms, n, strict=True)]
    if comparison not in ("above", "below"):
        note = "the arms share their draws, so that their shares are not independent"
        return Verdict(UNDECIDED, Interval(math.fsum(one.value for one in found) / len(found), None, None), counts, note=note)
    sign = 1 if comparison == "above" else -1
    nearest = min(found, key=lambda one: sign * (one.value - margin))
    if any(one.low is None or one.high is None for one in found):
        return Verdict(UNDECIDED, nearest, counts, note="the error of such a share is not known for so few runs")
    ends = [(one.low, one.high) for one in found if one.low is not None and one.high is not None]
    beyond = all(low > margin if sign > 0 else high < margin for low, high in ends)
    short = all(high < margin if sign > 0 else low > margin for low, high in ends)
    p = min(1.0, ALPHA * (len(arms[0]) if quantity.startswith("lead") else 1))
    return Verdict(UNDECIDED, nearest, counts, p if beyond else 1.0, p if short else 1.0)
