"""Sweepers: which runs a command with -m makes. One a file, found by its file stem: `hydra/sweeper=<name>`."""

from gatelab.registry import Registry
from gatelab.sweeps.sweepers._sweeper import Foreign, Launch, Search, Sweeper

SWEEPERS: Registry[Sweeper] = Registry("sweeper", "gatelab.sweeps.sweepers", Sweeper)

__all__ = ["SWEEPERS", "Foreign", "Launch", "Search", "Sweeper", "declared"]


def declared(name: str) -> type[Sweeper]:
    """What is known of a sweeper, by Hydra's name for it; `Foreign` if another package brings it to Hydra."""
    return SWEEPERS.get(name) if name in SWEEPERS else Foreign
