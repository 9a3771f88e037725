"""Hydra's sweeper `grid`: its own `basic`, but for what `gatelab train` has checked already."""

from collections.abc import Sequence

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


class Grid(BasicSweeper):
    """Every combination of the values given."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        from gatelab.sweeps.jobs.compose import is_planned

        super().validate_batch_is_legal([job for job in batch if not is_planned(job)])
