"""Data, loss and metrics: one task a file. Tasks know no model."""

from typing import TYPE_CHECKING

from gatelab.lazy import lazily
from gatelab.registry import Registry

if TYPE_CHECKING:
    from gatelab.tasks._check import check_task
    from gatelab.tasks._data import data_status, file_hash
    from gatelab.tasks._task import Batch, Split, Task
    from gatelab.tasks._watch import Watched

TASKS: "Registry[Task]" = Registry("task", "gatelab.tasks", "gatelab.tasks._task:Task")  # the names alone need no torch

__all__ = ["TASKS", "Batch", "Split", "Task", "Watched", "check_task", "data_status", "file_hash"]

_HOMES = {"check_task": "_check", "data_status": "_data", "file_hash": "_data", "Watched": "_watch"}
_HOMES |= dict.fromkeys(("Batch", "Split", "Task"), "_task")

__getattr__ = lazily(__name__, {name: f"{__name__}.{module}" for name, module in _HOMES.items()})
