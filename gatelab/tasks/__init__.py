"""Data, loss and metrics: one task a file. Tasks know no model."""

from gatelab.registry import Registry
from gatelab.tasks._check import check_task
from gatelab.tasks._data import data_status, file_hash
from gatelab.tasks._task import Batch, Split, Task
from gatelab.tasks._watch import Watched

TASKS: Registry[Task] = Registry("task", "gatelab.tasks", Task)  # type: ignore[type-abstract]

__all__ = ["TASKS", "Batch", "Split", "Task", "Watched", "check_task", "data_status", "file_hash"]
