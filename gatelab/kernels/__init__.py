"""Backends of the time loop. They know no cell by name."""

from typing import TYPE_CHECKING

from gatelab.lazy import lazily

if TYPE_CHECKING:
    from gatelab.kernels._affine import affine
    from gatelab.kernels._gate import check_dense, check_lengths, check_resets
    from gatelab.kernels._resets import reversed_resets
    from gatelab.kernels._scan import Flow, Record, Scan, Weights, replay
    from gatelab.kernels._serving import BACKENDS, Served, check_backend, scan, serving

BACKEND_NAMES = ("cpu", "gpu", "eager")  # of the modules, in the order in which `auto` tries them

__all__ = [
    "BACKENDS",
    "BACKEND_NAMES",
    "Flow",
    "Record",
    "Scan",
    "Served",
    "Weights",
    "affine",
    "check_backend",
    "check_dense",
    "check_lengths",
    "check_resets",
    "replay",
    "reversed_resets",
    "scan",
    "serving",
]

_HOMES: dict[str, str] = dict.fromkeys(("BACKENDS", "Served", "check_backend", "scan", "serving"), "_serving")
_HOMES |= dict.fromkeys(("Flow", "Record", "Scan", "Weights", "replay"), "_scan")
_HOMES |= dict.fromkeys(("check_dense", "check_lengths", "check_resets"), "_gate")
_HOMES |= {"reversed_resets": "_resets", "affine": "_affine"}

__getattr__ = lazily(__name__, {name: f"{__name__}.{module}" for name, module in _HOMES.items()})
