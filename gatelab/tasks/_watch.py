"""Calls a task: an exception, or a result that breaks the contract, becomes a UserError of one sentence that names the task."""

import functools
import math
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gatelab.errors import UserError
from gatelab.registry.contract import BrokenError, class_place, kind_of, line_in, place, raised
from gatelab.tasks._task import Batch, Split, Task


class Watched:
    """Calls the members of a task and checks the types and shapes of their results.

    Args:
        task: the task.
        name: of the task, for the message.

    Every method raises UserError if the task raises an error (which becomes its cause) or breaks the contract.
    """

    def __init__(self, task: Task, name: str) -> None:
        self.task, self.name = task, name

    def value(self, member: str) -> Any:
        """A property or declaration of the task."""
        return self._read(member, lambda: getattr(self.task, member))

    def size(self, split: Split) -> int | None:
        """Like `Task.size`."""
        member = f"size('{split}')"
        size = self._read(member, lambda: self.task.size(split))
        if size is None and split == "train":
            return None
        if isinstance(size, Integral) and not isinstance(size, bool) and int(size) >= 1:
            return int(size)
        accepted = "an int of at least 1, or None if sequences are generated" if split == "train" else "an int of at least 1"
        raise self.error(f"{member} returns {_shown(size)}, but it must be {accepted}", "size")

    def batch(self, split: Split, seed: int, indices: np.ndarray) -> Batch:
        """Like `Task.batch`."""
        batch = self._read(f"batch('{split}')", lambda: self.task.batch(split, seed, indices))
        problem = self._batch_problem(batch, len(indices))
        if problem:
            raise self.error(f"batch('{split}') returns {problem}", "batch")
        return batch

    def loss(self, output: Tensor, batch: Batch, where: str = "") -> Tensor:
        """Like `Task.loss`; where: the split, for the message."""
        loss = self._read(f"loss{where}", lambda: self.task.loss(output, batch))
        if not isinstance(loss, Tensor):
            problem = f"{kind_of(loss)}, but it must be a scalar tensor"
        elif loss.dim():
            problem = f"a tensor of shape {tuple(loss.shape)}, but it must be a scalar; take its mean"
        elif output.requires_grad and torch.is_grad_enabled() and not loss.requires_grad:
            problem = "a tensor without gradient, but it must be differentiable by the output"
        else:
            return loss
        raise self.error(f"loss{where} returns {problem}", "loss")

    def metrics(self, output: Tensor, batch: Batch, where: str = "") -> Mapping[str, tuple[Tensor, Tensor]]:
        """Like `Task.metrics`; where: the split, for the message."""
        scores = self._read(f"metrics{where}", lambda: self.task.metrics(output, batch))
        problem = _scores_problem(scores)
        if not problem and self.task.metric not in scores:
            known = ", ".join(map(str, scores)) or "nothing"
            problem = f"{known}, but `metric` declares '{self.task.metric}', which must be among them"
        if problem:
            raise self.error(f"metrics{where} returns {problem}", "metrics")
        return scores

    def weight(self, batch: Batch) -> float:
        """Like `Task.weight`."""
        weight = self._read("weight", lambda: self.task.weight(batch))
        if isinstance(weight, bool) or not isinstance(weight, Real) or not 0 < float(weight) < math.inf:
            raise self.error(f"weight returns {_shown(weight)}, but it must be a float greater than 0", "weight")
        return float(weight)

    def constant(self, batch: Batch, where: str = "") -> Tensor:
        """Like `Task.constant`."""
        output = self._read(f"constant{where}", lambda: self.task.constant(batch))
        expected = self.output_shape(batch)
        if not isinstance(output, Tensor) or tuple(output.shape) != expected or not output.is_floating_point():
            raise self.error(
                f"constant{where} returns {_described(output)}, but it must be a float tensor of shape {expected}, as the output "
                f"of a model with readout '{self.task.readout}'",
                "constant",
            )
        return output

    def output_shape(self, batch: Batch) -> tuple[int, ...]:
        """The shape of a model's output: (B, output_size), or (B, T, output_size) where every step has one."""
        rows, steps = batch.x.shape[:2]
        return (rows, self._sizes[1]) if self.task.readout == "last" else (rows, steps, self._sizes[1])

    def error(self, message: str, member: str) -> UserError:
        """The error for a broken contract, with the place of the member, or of the class that inherits it."""
        own = place(self._function(member)) if member in vars(type(self.task)) else None
        where = own or class_place(type(self.task))
        return UserError(f"Task '{self.name}': {BrokenError(message).sentence(where)}")

    def _read(self, member: str, call: Callable[[], Any]) -> Any:
        try:
            return call()
        except UserError:
            raise  # missing data, for example: the error is already one sentence
        except (Exception, SystemExit) as error:
            own = self._function(member.partition("(")[0].partition(" ")[0])
            where = line_in(self._files, error) or place(own)
            raise UserError(f"Task '{self.name}': {BrokenError(raised(member, error)).sentence(where)}") from error

    def _function(self, member: str) -> Any:
        """The function of a method or property."""
        found = getattr(type(self.task), member, None)
        return getattr(found, "fget", None) or getattr(found, "func", None) or found

    @functools.cached_property
    def _files(self) -> set[str]:
        """The files of the task's class and its bases, except that of the contract."""
        owners = type(self.task).__mro__[: type(self.task).__mro__.index(Task)]
        found = (place(getattr(value, "fget", None) or value) for owner in owners for value in vars(owner).values())
        return {where.rpartition(":")[0] for where in found if where is not None}

    @functools.cached_property
    def _sizes(self) -> tuple[int, int, int | None]:
        """Input size, output size and vocabulary."""
        return self.value("input_size"), self.value("output_size"), self.value("vocabulary")

    def _batch_problem(self, batch: Any, rows: int) -> str | None:
        """What is wrong with a batch, as a continuation of "returns"."""
        if not isinstance(batch, Batch):
            return f"{kind_of(batch)}, but it must be a gatelab.Batch, as in Batch(x, y)"
        for part, value in zip(Batch._fields, batch, strict=True):
            if value is None and part in ("lengths", "events"):
                continue
            if not isinstance(value, Tensor):
                hint = "; use torch.from_numpy" if isinstance(value, np.ndarray) else ""
                return f"{part} as {_shown(value)}, but it must be a tensor{hint}"
            if value.device.type != "cpu":
                return f"{part} on {value.device}, but batches are made on the CPU"
            if not value.dim() or len(value) != rows:
                return f"{part} of shape {tuple(value.shape)} for {rows} indices, but it must have a row for each"
        return self._x_problem(batch.x) or _marks_problem(batch)

    def _x_problem(self, x: Tensor) -> str | None:
        input_size, _, vocabulary = self._sizes
        shape = tuple(x.shape)
        if vocabulary is None:
            if x.dim() != 3 or shape[2] != input_size:
                tokens = "; declare `vocabulary` if these are tokens" if x.dim() == 2 and not x.is_floating_point() else ""
                return f"x of shape {shape}, but it must be (B, T, input_size) with input_size {input_size}{tokens}"
            if x.is_complex():
                return f"x of type {x.dtype}, but it must be a real number"
        else:
            if x.dim() != 2:
                return f"x of shape {shape}, but tokens of a task with a `vocabulary` must be (B, T)"
            if x.dtype != torch.int64:
                return f"x of type {x.dtype}, but tokens of a task with a `vocabulary` must be torch.int64"
        if not shape[1]:
            return f"x of shape {shape}, but a sequence must have at least one step"
        if vocabulary is not None:
            low, high = map(int, torch.aminmax(x))
            if low < 0 or high >= vocabulary:
                return f"x with tokens from {low} to {high}, but a vocabulary of {vocabulary} has 0 to {vocabulary - 1}"
        return None


def _marks_problem(batch: Batch) -> str | None:
    """What is wrong with lengths and events."""
    rows, steps = batch.x.shape[:2]
    if batch.lengths is not None:
        if tuple(batch.lengths.shape) != (rows,) or batch.lengths.dtype not in (torch.int64, torch.int32):
            return f"lengths as {_described(batch.lengths)}, but it must be of shape (B,) = {(rows,)} and torch.int64"
        low, high = map(int, torch.aminmax(batch.lengths))
        if low < 1 or high > steps:
            return f"lengths from {low} to {high}, but x has {steps} steps and a row at least 1"
    if batch.events is not None and (tuple(batch.events.shape) != (rows, steps) or batch.events.dtype != torch.bool):
        return f"events as {_described(batch.events)}, but it must be of shape (B, T) = {(rows, steps)} and torch.bool"
    return None


def _scores_problem(scores: Any) -> str | None:
    if not isinstance(scores, Mapping):
        return f"{kind_of(scores)}, but it must be a dict from names to pairs (sum, weight)"
    for name, pair in scores.items():
        if not isinstance(name, str) or not name:
            return f"a score called {name!r}, but a name must be a string"
        if not isinstance(pair, tuple) or len(pair) != 2 or not all(isinstance(part, Tensor) for part in pair):
            return f"'{name}' as {kind_of(pair)}, but it must be a pair (sum, weight) of scalar tensors"
        for what, part in zip(("sum", "weight"), pair, strict=True):
            if part.dim():
                return f"the {what} of '{name}' of shape {tuple(part.shape)}, but it must be a scalar"
        if not 0 <= float(pair[1]) < math.inf:
            return f"the weight of '{name}' as {float(pair[1])}, but it must be finite and at least 0"
    return None


def _shown(value: Any) -> str:
    """The value itself if it is a number or string, otherwise its type."""
    plain = value is None or isinstance(value, (bool, int, float, str))
    return repr(value) if plain else kind_of(value)


def _described(value: Any) -> str:
    return f"a tensor of shape {tuple(value.shape)} and type {value.dtype}" if isinstance(value, Tensor) else _shown(value)
