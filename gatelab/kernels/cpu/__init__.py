"""The time loop as C, printed from a cell's equations: one call forward and one backward."""

from typing import TYPE_CHECKING

from gatelab.lazy import lazily

if TYPE_CHECKING:
    from gatelab.kernels.cpu._loop import refuses, scan
    from gatelab.kernels.cpu._source import source

DEVICE = "cpu"

__all__ = ["DEVICE", "refuses", "scan", "source"]

# The compiler and its cache (`build`) are used by commands that need no torch.
__getattr__ = lazily(__name__, {"refuses": f"{__name__}._loop", "scan": f"{__name__}._loop", "source": f"{__name__}._source"})
