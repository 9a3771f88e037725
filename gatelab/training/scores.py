"""The scores of a whole split, added up batch by batch."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from torch import Tensor

from gatelab.errors import UserError
from gatelab.training.parallel import Team

PART = 16  # sequences whose scores are added up into one part


class Error(NamedTuple):
    """What the sampling of a split alone does to a score.

    Attributes:
        value: standard error of the score; None where the split is too small to tell.
        parts: how many parts of the split it was estimated from.
    """

    value: float | None
    parts: int


class Scatter:
    """A score on parts of a split, for the standard error of its value on the whole.

    The score is the ratio r = sum s / sum w over K parts, and its standard error that of a ratio estimator,
    sqrt(K / (K - 1) sum (s - r w)^2) / sum w (Cochran 1977, Sampling Techniques, Sec. 6.3).
    """

    def __init__(self) -> None:
        self._parts: list[tuple[float, float]] = []

    def add(self, total: Tensor, weight: Tensor) -> None:
        """Adds what `Task.metrics` returned for a part."""
        self._parts.append((float(total), float(weight)))

    def error(self, team: Team) -> Error:
        """The standard error over the parts of all processes; then there are none."""
        parts = [part for own in team.gather(list(self._parts)) for part in own]
        self._parts.clear()
        count, total, weight = len(parts), sum(s for s, _ in parts), sum(w for _, w in parts)
        if count < 2 or not weight:
            return Error(None, count)
        squares = sum((s - total / weight * w) ** 2 for s, w in parts)
        return Error(math.sqrt(count / (count - 1) * squares) / weight, count)


class Scores:
    """Sums and weights of the scores that a task gives for each batch."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}

    def add(self, metrics: Mapping[str, tuple[Tensor, Tensor]]) -> None:
        """Adds what `Task.metrics` returned for a batch."""
        for name, (total, weight) in metrics.items():
            pair = self._sums.setdefault(name, [0.0, 0.0])
            pair[0] += float(total)
            pair[1] += float(weight)

    def means(self, task: str, split: str, team: Team) -> dict[str, float]:
        """The scores over the rows of all processes; resets the sums.

        Args:
            task, split: names, for the message.

        Raises:
            UserError: the weights of a score add up to 0.
        """
        parts = team.gather(dict(self._sums))
        self._sums.clear()
        # The leader's names: other processes may have no row of a small split.
        sums = {name: [sum(part[name][place] for part in parts if name in part) for place in (0, 1)] for name in parts[0]}
        for name, (_, weight) in sums.items():
            if not weight:
                raise UserError(f"Task '{task}': the weights of '{name}' add up to 0 over the whole '{split}' split.")
        return {name: total / weight for name, (total, weight) in sums.items()}
