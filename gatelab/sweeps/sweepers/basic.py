"""Hydra's sweeper `basic`: every combination of the values given."""

from dataclasses import dataclass
from typing import ClassVar

from gatelab.sweeps.contracts import Sweeper


@dataclass(frozen=True)
class Basic(Sweeper):
    """Like `grid`, but Hydra composes every run again before it begins."""

    hydras: ClassVar[bool] = True
