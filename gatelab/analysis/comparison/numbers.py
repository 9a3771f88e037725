"""Numbers as they are written in tables and sentences."""

import math

from gatelab.analysis.statistics.differences import DUNNETT, PAIRED, Difference
from gatelab.analysis.statistics.intervals import Interval

NOTHING = "–"


def estimate(interval: Interval | None, sign: bool = False) -> str:
    """An estimate with half the width of its interval, to two digits of the latter: "0.0021 ± 0.0003"."""
    if interval is None:
        return NOTHING
    value, low, high = interval
    plus = "+" if sign else ""
    half = None if low is None or high is None else (high - low) / 2
    largest = max(abs(value), half or 0.0)
    if not math.isfinite(value) or not (1e-4 <= largest < 1e6 or largest == 0):
        return f"{value:{plus}.3g}" + ("" if half is None else f" ± {half:.2g}")
    decimals = _decimals(half, 2) if half else _decimals(value, 4)
    return f"{value:{plus}.{decimals}f}" + ("" if half is None else f" ± {half:.{decimals}f}")


def _decimals(value: float, digits: int) -> int:
    """Decimal places that show so many digits of a value, eight at most."""
    return 0 if value == 0 else min(max(digits - 1 - math.floor(math.log10(abs(value))), 0), 8)


def symmetric(difference: Difference) -> bool:
    """Whether half the width says all of an interval: of differences of means, not of ranks and not of ratios."""
    return difference.measure == "difference" and difference.test in (DUNNETT, PAIRED)


def bounds(interval: Interval, sign: bool = False) -> str:
    """An estimate to three digits with its bounds, "0.5 (0.4 to 0.6)"."""
    value, low, high = interval
    if low is None or high is None:
        return number(value, sign)
    return f"{number(value, sign)} ({number(low, sign)} to {number(high, sign)})"


def ratio(interval: Interval) -> str:
    """A ratio with its bounds; "over 1.2" or "under 0.8" where one side has nothing to divide by, as never solving a task."""
    value, low, high = interval
    if value == math.inf:
        return f"over {number(low)}" if low else NOTHING
    if value == 0:
        return f"under {number(high)}" if high not in (None, math.inf) else NOTHING
    return bounds(interval)


def engineering(value: float) -> str:
    """Three digits and a power of a thousand: "34.6k"."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def number(value: float, sign: bool = False) -> str:
    """Three digits, for a sentence."""
    if math.isinf(value):
        return "-∞" if value < 0 else "∞"
    return f"{value:{'+' if sign else ''}.3g}"


def probability(p: float) -> str:
    """A p-value to two digits, "0.031", and "<0.001" below 0.001."""
    return "<0.001" if p < 0.001 else f"{p:.2g}"


def share(value: float | None) -> str:
    """A share as a percentage."""
    return NOTHING if value is None else f"{value:.0%}"
