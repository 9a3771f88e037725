"""The task contract: what a file in this folder declares."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gatelab.errors import UserError
from gatelab.options import Options
from gatelab.runs import Scale, Shape
from gatelab.tasks._declared import class_problem

Split = Literal["train", "val", "test"]


class Batch(NamedTuple):
    """Sequences of one batch.

    Attributes:
        x: inputs (B, T, D), or tokens (B, T) when the task has a `vocabulary`.
        y: targets (B, ...); only the task's own loss and metrics read them.
        lengths: valid steps of each row (B,), or None when all rows are T long.
        events: the steps that carry what must be remembered, booleans (B, T), or None when the task has no such steps. Gates are
            compared there and elsewhere.
    """

    x: Tensor
    y: Tensor
    lengths: Tensor | None = None
    events: Tensor | None = None

    def to(self, device: torch.device | str) -> "Batch":
        """The same batch on a device."""
        return Batch(*(None if value is None else value.to(device) for value in self))  # type: ignore[arg-type]

    def first(self, rows: int) -> "Batch":
        """Only the first rows."""
        return self.rows(slice(rows))

    def rows(self, rows: slice) -> "Batch":
        """Only some of the rows."""
        return Batch(*(None if value is None else value[rows] for value in self))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Task(Options, ABC):
    """Base of all tasks: a frozen dataclass whose fields become the Hydra options `task.<field>`.

    Declares:
        readout: "last" if the target belongs to the last valid step, "all" if every step has one.
        metric: name of the score that variants are compared by; `higher_is_better` its direction.
        chance: the score of a constant predictor; `chance_derivation` tells how it is derived.
        solved: the score at which the task counts as solved; `solved_derivation` tells why.
        scale: the scale on which scores are averaged, compared and drawn: "log" for losses that span decades, "logit" for shares,
            otherwise "linear". It does not change what is trained.
        shape: how the scores of runs that differ only in their seed scatter. "single": around one value, so that the mean and
            Student's t describe them. "any": nothing is assumed. If a run either solves a task or does not, its scores lie in
            two clusters, their mean describes no run, and `gatelab compare` counts which runs solve it and when.
        plateau: optimiser steps for which training may stay at chance before it learns; `trainer.patience` does not end a run
            within them. 0 for a task whose score improves from the beginning.
        carried: row r of a batch continues where row r of the batch before ended: the state of the model is carried over, without
            its gradient. An evaluation begins with the initial state.
        repeats: why sequences occur more than once, even in several splits; empty if they do not.

    `gatelab.tasks.check_task` tests all this before a task is trained.
    """

    readout: ClassVar[Literal["last", "all"]] = "all"
    metric: ClassVar[str]
    higher_is_better: ClassVar[bool] = False
    chance_derivation: ClassVar[str]
    solved_derivation: ClassVar[str]
    scale: ClassVar[Scale] = "linear"
    shape: ClassVar[Shape] = "any"
    carried: ClassVar[bool] = False
    repeats: ClassVar[str] = ""

    @property
    def vocabulary(self) -> int | None:
        """Number of symbols if the inputs are tokens (the model encodes them one-hot), else None."""
        return None

    @property
    def lag(self) -> float | None:
        """Steps over which the task asks to keep something, on average; None if the task has none."""
        return None

    @property
    def plateau(self) -> int:
        """Optimiser steps for which training may stay at chance."""
        return 0

    @property
    @abstractmethod
    def input_size(self) -> int:
        """D, features of one input step; equal to `vocabulary` where the inputs are tokens."""

    @property
    @abstractmethod
    def output_size(self) -> int:
        """Outputs of the head for one step."""

    @property
    @abstractmethod
    def chance(self) -> float:
        """The score of a constant predictor."""

    @property
    @abstractmethod
    def solved(self) -> float:
        """The score at which the task counts as solved."""

    @abstractmethod
    def size(self, split: Split) -> int | None:
        """Number of sequences, at least 1; None if the training split is endless (generated data). Val and test are finite."""

    @abstractmethod
    def batch(self, split: Split, seed: int, indices: np.ndarray) -> Batch:
        """The sequences with these indices, a function of only (seed, split, index).

        Args:
            split: train, val or test. The last two are fixed: they do not depend on `seed`.
            seed: the data seed of the run.
            indices: integers (B,).
        """

    @abstractmethod
    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        """The scalar to minimise.

        Args:
            output: (B, T, output_size), or (B, output_size) when `readout` is "last".
            batch: the batch that the output was computed from.
        """

    def weight(self, batch: Batch) -> float:
        """The number of terms that the loss of a batch averages: valid steps if each has a target, else rows.

        It weights the losses of the parts of a batch, when several processes train one run. A task whose loss is
        another mean must override it.
        """
        return float(len(batch.x) if batch.lengths is None or self.readout == "last" else batch.lengths.sum())

    @abstractmethod
    def metrics(self, output: Tensor, batch: Batch) -> Mapping[str, tuple[Tensor, Tensor]]:
        """Each score as (sum, weight), scalars: over a whole split the score is the sum of sums over the sum of weights."""

    @abstractmethod
    def constant(self, batch: Batch) -> Tensor:
        """The output of the constant predictor whose score is `chance`, in the shape of the model's output."""

    def data_hashes(self) -> Mapping[str, str]:
        """SHA-256 of every data file behind the task; empty for generated data."""
        return {}

    @classmethod
    def check_class(cls, name: str) -> None:
        """Checks the class before a task of it is made.

        Raises:
            UserError: it has no decorator, a member is absent or is not what it must be, or an option has a reserved name.
        """
        problem = class_problem(cls)
        if problem is not None:
            raise UserError(f"Task '{name}': {problem}")
