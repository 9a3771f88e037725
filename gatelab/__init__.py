"""gatelab compares gating variants of recurrent networks.

`gatelab.RNN` is `torch.nn.LSTM` for any cell of the registry. The names below are loaded when first used, so that commands
which only read results never import torch.
"""

from typing import TYPE_CHECKING

from gatelab.lazy import lazily

if TYPE_CHECKING:
    from gatelab.cells import CELLS, Attention, Cell
    from gatelab.kernels.allocator import keep_memory
    from gatelab.models import RNN, SequenceModel
    from gatelab.options import option
    from gatelab.tasks import TASKS, Batch, Task

__version__ = "0.2.0.dev0"

_HOMES = {
    "CELLS": "gatelab.cells",
    "Attention": "gatelab.cells",
    "Cell": "gatelab.cells",
    "keep_memory": "gatelab.kernels.allocator",
    "RNN": "gatelab.models",
    "SequenceModel": "gatelab.models",
    "option": "gatelab.options",
    "TASKS": "gatelab.tasks",
    "Batch": "gatelab.tasks",
    "Task": "gatelab.tasks",
}

__all__ = ["CELLS", "RNN", "TASKS", "Attention", "Batch", "Cell", "SequenceModel", "Task", "keep_memory", "option"]

__getattr__ = lazily(__name__, _HOMES)
