"""The configuration of a run with the objects that it names: the one place where its cell and its task are built."""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gatelab.cells import CELLS, Cell
from gatelab.config import Config
from gatelab.runs.matched import Matched
from gatelab.tasks import TASKS, Task
from gatelab.training.identity import Identity, identify
from gatelab.training.matching import matched


class Spec:
    """A configured run. Each part is built once, when it is first used, so that looking at the cell loads no data.

    Args:
        config: every value checked.

    Attributes:
        config: as given.
    """

    def __init__(self, config: Config) -> None:
        self.config = config

    @functools.cached_property
    def plain(self) -> dict[str, Any]:
        """The configuration in plain containers: what is hashed, written and sent to W&B."""
        return self.config.plain()

    @functools.cached_property
    def identity(self) -> Identity:
        """What determines the result; loads the plugins that the run uses.

        Raises:
            UserError: as in `identify`.
        """
        return identify(self.plain)

    @property
    def path(self) -> Path:
        """The run directory."""
        return Path(self.config.out) / self.identity.name

    @functools.cached_property
    def cell(self) -> Cell:
        """The equations.

        Raises:
            UserError: the cell or one of its options does not exist, or a value is not accepted.
        """
        return CELLS.build(**self.config.cell)

    @functools.cached_property
    def task(self) -> Task:
        """The data, the loss and the metrics.

        Raises:
            UserError: the task or one of its options does not exist, or a value is not accepted.
        """
        return TASKS.build(**self.config.task)

    @functools.cached_property
    def length(self) -> int:
        """T, the steps of a validation sequence."""
        with torch.device("cpu"):  # the caller may be making a model on another
            return self.task.batch("val", 0, np.arange(1)).x.shape[1]

    @functools.cached_property
    def matched(self) -> Matched | None:
        """How its hidden size follows from another cell; None where it is `model.hidden_size` itself.

        Raises:
            UserError: the cell does not exist.
        """
        return matched(self)

    @property
    def hidden_size(self) -> int:
        """H, of every layer."""
        return self.config.model.hidden_size if self.matched is None else self.matched.hidden_size

    @property
    def data_hashes(self) -> Mapping[str, str]:
        """SHA-256 by data file."""
        return self.identity.data_hashes or self.task.data_hashes()

    @property
    def task_name(self) -> str:
        """The registry name of the task, for messages."""
        return self.config.task["name"]

    @property
    def data_seed(self) -> int:
        """The seed of the data."""
        return self.config.seed if self.config.data_seed is None else self.config.data_seed
