"""Hydra's launcher `basic`: every run in this process, one after another."""

from dataclasses import dataclass
from typing import ClassVar

from gatelab.sweeps.contracts import Launcher


@dataclass(frozen=True)
class Basic(Launcher):
    """Hydra itself calls the function of each job."""

    here: ClassVar[bool] = True
    in_turn: ClassVar[bool] = True
    leaves_pruned: ClassVar[bool] = False
    hydras: ClassVar[bool] = True
