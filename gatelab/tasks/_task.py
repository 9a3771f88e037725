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
        """The first rows alone."""
        return self.rows(slice(rows))

    def rows(self, rows: slice) -> "Batch":
        """Some of the rows alone."""
        return Batch(*(None if value is None else value[rows] for value in self))  # type: ignore[arg-type]


@dataclass(frozen=True)
class Task(Options, ABC):
    """Base of all tasks: a frozen dataclass whose fields become the Hydra options `task.<field>`.

    Declares:
        readout: "last" if the target belongs to the last valid step, "all" if every step has one.
        metric: name of the score that variants are compared by; `higher_is_better` its direction.
        chance: that score of a constant predictor; `chance_derivation` says where it comes from.
        solved: the score from which on the task counts as solved; `solved_derivation` says why.
        scale: on which scores are averaged, compared and drawn. "log" for losses that span decades, "logit" for shares between 0
            and 1, "linear" else. It does not change what is trained.
        shape: how the scores of runs that differ in their seed alone scatter. "single": around one value, so that the mean and
            Student's t describe them. "any": nothing is assumed; of a task that a run either solves or does not, scores lie in
            two clusters, their mean describes no run, and `gatelab compare` counts who solves it and when.
        carried: row r of a batch continues where row r of the batch before ended: the state of the model is carried over, without
            its gradient. An evaluation begins with the initial state.
        repeats: why sequences occur more than once, in several splits even; empty if they do not.

    `gatelab.tasks.check_task` finds out whether a task is what is described here, before anything is trained with it.
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
        """The score from which on the task counts as solved."""

    @abstractmethod
    def size(self, split: Split) -> int | None:
        """Number of sequences, at least 1; None if the training split is endless (generated data). Val and test are finite."""

    @abstractmethod
    def batch(self, split: Split, seed: int, indices: np.ndarray) -> Batch:
        """The sequences with these indices: a function of (seed, split, index) and nothing else.

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
            batch: what the output was computed from.
        """

    def weight(self, batch: Batch) -> float:
        """What the loss of a batch is a mean over: here the valid steps if each has a target, else the rows.

        The loss of a batch is that of its parts, weighted so: this is how several processes train one run. A task whose loss is
        a mean over anything else has to say so.
        """
        return float(len(batch.x) if batch.lengths is None or self.readout == "last" else batch.lengths.sum())

    @abstractmethod
    def metrics(self, output: Tensor, batch: Batch) -> Mapping[str, tuple[Tensor, Tensor]]:
        """Each score as (sum, weight), scalars: over a whole split the score is the sum of sums over the sum of weights."""

    @abstractmethod
    def constant(self, batch: Batch) -> Tensor:
        """The output of the constant predictor that scores `chance`, in the shape of the model's output."""

    def data_hashes(self) -> Mapping[str, str]:
        """SHA-256 of every data file behind the task; empty for generated data."""
        return {}

    @classmethod
    def check_class(cls, name: str) -> None:
        """Looks at what can be seen before there is a task of this class.

        Raises:
            UserError: it has no decorator, a member is absent or is not what it must be, or an option has a reserved name.
        """
        problem = class_problem(cls)
        if problem is not None:
            raise UserError(f"Task '{name}': {problem}")
