"""Data, loss and metrics: one task a file. Tasks know no model."""

from gatelab.registry import Registry
from gatelab.tasks._data import data_status, file_hash
from gatelab.tasks._task import Batch, Task

TASKS: Registry[Task] = Registry("task", "gatelab.tasks", Task)  # type: ignore[type-abstract]

__all__ = ["TASKS", "Batch", "Task", "data_status", "file_hash"]
