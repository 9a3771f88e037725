"""The scores of a whole split, added up batch by batch."""

from collections.abc import Mapping

from torch import Tensor

from gatelab.errors import UserError
from gatelab.training.parallel import Team


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
        """The scores, of the rows of all processes; then the sums are 0 again.

        Args:
            task, split: names, for the message.

        Raises:
            UserError: the weights of a score add up to 0.
        """
        parts = team.gather(dict(self._sums))
        self._sums.clear()
        # By the leader's names: of a small split the others may have no row.
        sums = {name: [sum(part[name][place] for part in parts if name in part) for place in (0, 1)] for name in parts[0]}
        for name, (_, weight) in sums.items():
            if not weight:
                raise UserError(f"Task '{task}': the weights of '{name}' add up to 0 over the whole '{split}' split.")
        return {name: total / weight for name, (total, weight) in sums.items()}
