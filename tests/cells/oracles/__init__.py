"""Independent transcriptions of papers in NumPy float64, one step and one row after the other; `ORACLES` by registry name.

Nothing here comes from `gatelab.cells`: the order of the blocks in the weights is stated a second time, by position.
A new cell needs a transcription in one of these modules, in its `ORACLES`.
"""

import importlib
import pkgutil
from collections.abc import Callable

from cells.oracles._network import Network, Oracle

ORACLES: dict[str, Callable[..., Oracle]] = {}
for _module in pkgutil.iter_modules(__path__):
    if not _module.name.startswith("_"):
        _found = importlib.import_module(f"{__name__}.{_module.name}").ORACLES
        assert not ORACLES.keys() & _found.keys(), f"{_module.name} has a transcription that another module has, too"
        ORACLES |= _found

__all__ = ["ORACLES", "Network", "Oracle"]
