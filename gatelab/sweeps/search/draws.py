"""The words of a search: what `interval(low, high)` and the words around it mean, as numbers of the unit interval."""

import hashlib
import math
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override

from gatelab.errors import UserError, unknown
from gatelab.options.bounds import LARGEST_FLOAT

TAGS = ("log", "one_minus")
EXAMPLE = "optimizer.lr='tag(log, interval(1e-4, 1e-2))'"


@dataclass(frozen=True)
class DrawInterval:
    """The meaning of `interval(low, high)` and the words around it.

    Attributes:
        whole: whole numbers, including both ends; `log`: uniform in the logarithm; `one_minus`: the option is 1 minus the number.
    """

    low: float
    high: float
    whole: bool
    log: bool
    one_minus: bool

    @classmethod
    def read(cls, override: Override) -> "DrawInterval":
        """The interval of an override.

        Raises:
            UserError: its ends or its tags make no interval.
        """
        interval, text = override.value(), override.input_line
        assert isinstance(interval, IntervalSweep)
        start: Any = interval.start
        end: Any = interval.end
        if not (isinstance(start, int | float) and isinstance(end, int | float) and start < end):
            raise UserError(f"'{text}': an interval needs a low and a higher number, as in {EXAMPLE}.")
        if start < -LARGEST_FLOAT or end > LARGEST_FLOAT:
            raise UserError(f"'{text}': the ends of an interval must be finite numbers, as in {EXAMPLE}.")
        tags = {str(tag) for tag in interval.tags}
        for tag in tags:
            if tag not in TAGS:
                raise UserError(f"'{text}': {unknown('tag', tag, TAGS)}")
        if "log" in tags and start <= 0:
            raise UserError(f"'{text}': a log-uniform interval begins above 0.")
        whole = isinstance(start, int) and isinstance(end, int)
        return cls(float(start), float(end), whole, "log" in tags, "one_minus" in tags)

    def at(self, u: float) -> float:
        """The number at u in [0, 1), on the scale on which the draw is uniform."""
        top = self.high + 1 if self.whole else self.high  # every whole number is a bin of this scale, with its own width
        value = (
            math.exp(math.log(self.low) + u * (math.log(top) - math.log(self.low))) if self.log else self.low + u * (top - self.low)
        )
        return min(math.floor(value), self.high) if self.whole else value

    def option(self, value: float) -> str:
        """A number of the interval in the notation of the option."""
        if self.one_minus:
            value = 1 - value
        return str(int(value)) if self.whole else f"{value:.6g}"


def unit_number(*parts: object) -> float:
    """A number in [0, 1) that depends only on the parts."""
    word = hashlib.sha256("/".join(map(str, parts)).encode()).digest()[:8]
    return (int.from_bytes(word, "little") >> 11) * 2.0**-53
