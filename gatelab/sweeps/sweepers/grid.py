"""The sweeper `grid`: every combination of the values given, as in cell=lstm,gru 'seed=range(5)'."""

from dataclasses import dataclass
from typing import Any

from gatelab.options import option
from gatelab.sweeps.contracts import Sweeper


@dataclass(frozen=True)
class Grid(Sweeper):
    """Like Hydra's `basic`, without the checks that `gatelab train` has already made."""

    params: Any = option(None, "further overrides, by option")  # noqa: RUF009 - Hydra reads it
    max_batch_size: int | None = option(None, "runs that the launcher gets at once; null: all", minimum=1)
