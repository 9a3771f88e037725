"""Hydra's sweeper `random`; the draws themselves are in `gatelab.sweeps.search.draws`.

Hydra takes plugins from the namespace `hydra_plugins` alone: `gatelab.sweeps.jobs.compose` puts the folder above on the path.
"""

from hydra.core.override_parser.types import Override
from hydra_plugins.gatelab_grid import Grid

from gatelab.sweeps.search.draws import split


class RandomSearch(Grid):
    """Draws of intervals, times the grid of all other values.

    Args:
        trials: draws.
        seed: of the draws.
    """

    def __init__(self, trials: int, seed: int, params: dict[str, str] | None = None, max_batch_size: int | None = None) -> None:
        super().__init__(max_batch_size, params)
        self.trials, self.seed = trials, seed

    def split_arguments(self, overrides: list[Override], max_batch_size: int | None) -> list[list[list[str]]]:  # type: ignore[override]
        jobs = split(overrides, self.trials, self.seed)
        return list(self.split_overrides_to_chunks(jobs, max_batch_size))
