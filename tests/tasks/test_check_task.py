"""What a task promises is checked before anything is trained: each mistake is one sentence that names task, member and line."""

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

import gatelab.tasks._check as checking
from gatelab.errors import UserError
from gatelab.options import option
from gatelab.tasks import TASKS, Batch, Task, Watched, check_task
from gatelab.tasks._data import FILES
from gatelab.tasks._task import Split

STEPS = 5


@dataclass(frozen=True)
class Good(Task):
    """Classification into three classes of sequences of two channels, with lengths and events."""

    metric = "accuracy"
    higher_is_better = True
    chance_derivation = "one of three"
    solved_derivation = "our choice"
    # Values instead of properties, which is shorter and as good.
    input_size = 2  # type: ignore[assignment]
    output_size = 3  # type: ignore[assignment]
    chance = 1 / 3  # type: ignore[assignment]
    solved = 0.9  # type: ignore[assignment]

    def size(self, split: Split) -> int | None:
        return None if split == "train" else 8

    def batch(self, split: Split, seed: int, indices: np.ndarray) -> Batch:
        fixed = seed if split == "train" else 0
        rows = [np.random.default_rng([len(split), fixed, int(index)]) for index in indices]
        x = np.stack([row.normal(size=(STEPS, 2)) for row in rows]).astype(np.float32)
        y = np.stack([row.integers(0, 3, STEPS) for row in rows])
        lengths = torch.from_numpy(STEPS - indices % 2)
        return Batch(torch.from_numpy(x), torch.from_numpy(y), lengths, torch.from_numpy(x[:, :, 0] > 0))

    def loss(self, output: Tensor, batch: Batch) -> Tensor:
        return self.nats(output, batch).sum() / cast(Tensor, batch.lengths).sum()

    def metrics(self, output: Tensor, batch: Batch) -> Mapping[str, tuple[Tensor, Tensor]]:
        right = (output.argmax(-1) == batch.y) & self.valid(batch)
        return {"accuracy": (right.sum().float(), cast(Tensor, batch.lengths).sum().float())}

    def constant(self, batch: Batch) -> Tensor:
        return torch.zeros(*batch.x.shape[:2], 3)

    def valid(self, batch: Batch) -> Tensor:
        return torch.arange(STEPS) < cast(Tensor, batch.lengths)[:, None]

    def nats(self, output: Tensor, batch: Batch) -> Tensor:
        return torch.nn.functional.cross_entropy(output.flatten(0, 1), batch.y.flatten(), reduction="none").view(
            batch.y.shape
        ) * self.valid(batch)


@dataclass(frozen=True)
class Tokens(Good):
    """The same with tokens."""

    vocabulary = 4  # type: ignore[assignment]
    input_size = 4  # type: ignore[assignment]

    def batch(self, split: Split, seed: int, indices: np.ndarray) -> Batch:
        batch = super().batch(split, seed, indices)
        return batch._replace(x=(batch.x[:, :, 0] > 0).long())


def changed(base: type[Good] = Good, **members: Any) -> Task:
    """A task with some members of another kind."""
    cls: Any = dataclass(frozen=True)(type("Changed", (base,), members))
    return cls()


def batches(base: type[Good] = Good, **parts: Any) -> Task:
    """A task whose batches have other parts, each a function of the batch."""

    def batch(self: Task, split: Split, seed: int, indices: np.ndarray) -> Any:
        found = base.batch(self, split, seed, indices)  # type: ignore[arg-type]
        return found._replace(**{name: value(found) for name, value in parts.items()})

    return changed(base, batch=batch)


def refusal(task: Task) -> str:
    with pytest.raises(UserError) as raised:
        check_task(task, "broken")
    text = str(raised.value)
    assert text.startswith("Task 'broken': ")
    assert text.endswith(".")
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", TASKS.names())
def test_the_tasks_of_the_registry_keep_the_contract(name: str, request: pytest.FixtureRequest) -> None:
    task = TASKS.build(name)
    if task.data_hashes().keys() & FILES.keys():
        request.getfixturevalue("mirror")
    TASKS.get(name).check_class(name)
    check_task(task, name)


@pytest.mark.parametrize(
    "task", [Good(), Tokens(), batches(lengths=lambda batch: batch.lengths.int())], ids=["float", "tokens", "int"]
)
def test_what_keeps_the_contract_is_accepted(task: Task) -> None:
    type(task).check_class("good")
    check_task(task, "good")


def test_a_split_of_one_sequence_is_accepted() -> None:
    def size(self: Task, split: Split) -> int | None:
        return 1

    check_task(changed(size=size), "good")


def sized(**sizes: Any) -> Task:
    return changed(size=lambda self, split: sizes.get(split, 8))


def scored(value: Any) -> Task:
    return changed(metrics=lambda self, output, batch: value(output, batch))


def lost(value: Any) -> Task:
    return changed(loss=lambda self, output, batch: value(self, output, batch))


ONE = torch.tensor(1.0)

BROKEN: dict[str, tuple[Task, str]] = {
    # size
    "validation is empty": (sized(val=0), r"size\('val'\) returns 0, but it must be an int of at least 1"),
    "test is empty": (sized(test=0), r"size\('test'\) returns 0"),
    "train is empty": (sized(train=0), r"size\('train'\) returns 0, but it must be an int of at least 1, or None"),
    "validation is endless": (sized(val=None), r"size\('val'\) returns None"),
    "size is a float": (sized(test=3.0), r"size\('test'\) returns 3.0"),
    "size is a bool": (sized(test=True), r"size\('test'\) returns True"),
    # batch
    "a plain tuple": (
        changed(batch=lambda self, split, seed, indices: tuple(Good().batch(split, seed, indices))[:2]),
        r"batch\('train'\) returns a tuple \(Tensor, Tensor\), but it must be a gatelab\.Batch",
    ),
    "NumPy x": (
        batches(x=lambda batch: batch.x.numpy()),
        r"returns x as a ndarray, but it must be a tensor; use torch\.from_numpy",
    ),
    "NumPy y": (batches(y=lambda batch: batch.y.numpy()), r"returns y as a ndarray"),
    "a list as events": (batches(events=lambda batch: [True]), r"returns events as a list"),
    "no y": (batches(y=lambda batch: None), r"returns y as None"),
    "another device": (batches(x=lambda batch: batch.x.to("meta")), r"returns x on meta, but batches are made on the CPU"),
    "too few rows": (batches(y=lambda batch: batch.y[:1]), r"returns y of shape \(1, 5\) for 2 indices"),
    "a scalar y": (batches(y=lambda batch: batch.y.sum()), r"returns y of shape \(\) for 2 indices"),
    "no channels": (batches(x=lambda batch: batch.x[:, :, 0]), r"x of shape \(2, 5\), but it must be \(B, T, input_size\)"),
    "too many channels": (batches(x=lambda batch: batch.x.repeat(1, 1, 2)), r"x of shape \(2, 5, 4\), .* input_size 2"),
    "tokens without vocabulary": (batches(x=lambda batch: batch.x[:, :, 0].long()), r"declare `vocabulary` if these are tokens"),
    "complex x": (batches(x=lambda batch: batch.x + 0j), r"x of type torch\.complex64"),
    "no steps": (batches(x=lambda batch: batch.x[:, :0]), r"a sequence must have at least one step"),
    "nan in x": (batches(x=lambda batch: batch.x / 0), r"x with values that are not finite"),
    "float tokens": (batches(Tokens, x=lambda batch: batch.x.float()), r"x of type torch\.float32, but tokens .* torch\.int64"),
    "one-hot tokens": (batches(Tokens, x=lambda batch: batch.x[..., None]), r"x of shape \(2, 5, 1\), but tokens"),
    "token out of range": (
        batches(Tokens, x=lambda batch: batch.x + 3),
        r"x with tokens from 3 to 4, but a vocabulary of 4 has 0 to 3",
    ),
    "negative token": (batches(Tokens, x=lambda batch: batch.x - 1), r"x with tokens from -1 to 0"),
    "lengths by step": (batches(lengths=lambda batch: batch.y), r"lengths as a tensor of shape \(2, 5\)"),
    "float lengths": (batches(lengths=lambda batch: batch.lengths.float()), r"lengths as .* torch\.float32"),
    "length 0": (batches(lengths=lambda batch: batch.lengths * 0), r"lengths from 0 to 0, but x has 5 steps"),
    "length beyond x": (batches(lengths=lambda batch: batch.lengths + 1), r"lengths from 5 to 6, but x has 5 steps"),
    "float events": (batches(events=lambda batch: batch.events.float()), r"events as .* torch\.float32, .* torch\.bool"),
    "events by row": (batches(events=lambda batch: batch.events[:, 0]), r"events as a tensor of shape \(2,\)"),
    "rows beyond the data": (
        changed(batch=lambda self, split, seed, indices: [Good().batch(split, seed, indices)][int(indices.max()) > 6]),
        r"batch\('val'\) raises IndexError: list index out of range",
    ),
    # determinism
    "random": (batches(x=lambda batch: torch.rand_like(batch.x)), r"batch\('train'\) returns other rows when it is called again"),
    "validation knows the seed": (
        changed(batch=lambda self, split, seed, indices: Good().batch("train", seed + len(split), indices)),
        r"batch\('val'\) depends on the seed",
    ),
    "rows know their neighbours": (
        batches(x=lambda batch: batch.x + torch.arange(len(batch.x))[:, None, None]),
        r"returns other rows for the indices \[1, 0\] than for \[0, 1\], reversed",
    ),
    # loss
    "vector loss": (lost(lambda self, output, batch: output.mean((1, 2))), r"loss of 'train' returns a tensor of shape \(2,\)"),
    "loss is a float": (lost(lambda self, output, batch: output.detach().mean().item()), r"loss of 'train' returns a float"),
    "detached loss": (lost(lambda self, output, batch: output.mean().detach()), r"a tensor without gradient"),
    "constant loss": (lost(lambda self, output, batch: 0 * output.sum()), r"does not depend on the output; its gradient is 0"),
    "infinite loss": (lost(lambda self, output, batch: output.log().mean()), r"loss of 'train' is nan on random outputs"),
    "infinite gradient": (
        lost(lambda self, output, batch: (self.nats(output, batch) * 0).sqrt().sum()),
        r"the gradient of loss of 'train' by the output is not finite",
    ),
    "padding counts": (lost(lambda self, output, batch: output.square().mean()), r"depends on outputs behind `lengths`"),
    "label out of range": (batches(y=lambda batch: batch.y + 3), r"loss of 'train' raises IndexError: Target \d is out of bounds"),
    "loss raises": (lost(lambda self, output, batch: output.missing), r"loss of 'train' raises AttributeError"),
    "loss ends the program": (
        lost(lambda self, output, batch: exec("raise SystemExit(3)")),
        r"loss of 'train' raises SystemExit: 3",
    ),
    # metrics
    "metrics are a tensor": (scored(lambda output, batch: output), r"metrics of 'train' returns a Tensor, but it must be a dict"),
    "scalar metrics": (scored(lambda output, batch: {"accuracy": ONE}), r"returns 'accuracy' as a Tensor, but it must be a pair"),
    "a float as weight": (
        scored(lambda output, batch: {"accuracy": (ONE, 2.0)}),
        r"as a tuple \(Tensor, float\), but it must be a pair",
    ),
    "vector metrics": (scored(lambda output, batch: {"accuracy": (output, ONE)}), r"the sum of 'accuracy' of shape \(2, 5, 3\)"),
    "negative weight": (scored(lambda output, batch: {"accuracy": (ONE, -ONE)}), r"the weight of 'accuracy' as -1\.0"),
    "weight 0": (scored(lambda output, batch: {"accuracy": (ONE, 0 * ONE)}), r"'accuracy' as \(1\.0, 0\.0\) on random outputs"),
    "infinite score": (
        scored(lambda output, batch: {"accuracy": (ONE / 0, ONE)}),
        r"'accuracy' as \(inf, 1\.0\) on random outputs",
    ),
    "metric is not among metrics": (
        changed(metric="acc"),
        r"metrics of 'train' returns accuracy, but `metric` declares 'acc', which must be among them",
    ),
    "no metrics": (scored(lambda output, batch: {}), r"returns nothing, but `metric` declares 'accuracy'"),
    "a number as name": (scored(lambda output, batch: {1: (ONE, ONE)}), r"returns a score called 1"),
    # what else is declared
    "weight is negative": (
        changed(weight=lambda self, batch: -1.0),
        r"weight returns -1\.0, but it must be a float greater than 0",
    ),
    "weight is a tensor": (changed(weight=lambda self, batch: ONE), r"weight returns a Tensor"),
    "constant of another shape": (
        changed(constant=lambda self, batch: torch.zeros(2, 3)),
        r"constant of 'train' returns a tensor of shape \(2, 3\) .*, but it must be a float tensor of shape \(2, 5, 3\)",
    ),
    "integer constant": (
        changed(constant=lambda self, batch: torch.zeros(2, 5, 3).long()),
        r"constant of 'train' returns .* torch\.int64",
    ),
    "readout": (changed(readout="first"), r"`readout` is 'first', but it must be 'last' or 'all'"),
    "scale": (changed(scale="ln"), r"`scale` is 'ln', but it must be 'linear', 'log' or 'logit'"),
    "shape": (changed(shape="two"), r"`shape` is 'two', but it must be 'any' or 'single'"),
    "a level that the scale does not hold": (
        changed(scale="logit", solved=1.0),
        r"`solved` is 1, but on the scale 'logit' it must be between 0 and 1",
    ),
    "lag is 0": (changed(lag=0), r"`lag` is 0, but it must be a number of steps greater than 0, or None"),
    "a plateau that is a share": (changed(plateau=0.5), r"`plateau` is 0\.5, but it must be an int of at least 0: optimiser steps"),
    "metric is empty": (changed(metric=""), r"`metric` is '', but it must be a string"),
    "derivation is a number": (changed(chance_derivation=3), r"`chance_derivation` is 3, but it must be a string"),
    "direction is a string": (changed(higher_is_better="yes"), r"`higher_is_better` is 'yes', but it must be True or False"),
    "the wrong direction": (
        changed(higher_is_better=False),
        r"`solved` is 0\.9 and `chance` 0\.33333, but higher_is_better is False",
    ),
    "chance is nan": (changed(chance=float("nan")), r"`chance` is nan, but it must be a finite float"),
    "solved is a string": (changed(solved="0.9"), r"`solved` is '0\.9', but it must be a finite float"),
    "chance raises": (changed(chance=property(lambda self: 1 / 0)), r"chance raises ZeroDivisionError: division by zero"),
    "input size 0": (changed(input_size=0), r"`input_size` is 0, but it must be an int of at least 1"),
    "output size is a float": (changed(output_size=3.0), r"`output_size` is 3\.0"),
    "vocabulary 0": (changed(vocabulary=0), r"`vocabulary` is 0, but it must be an int of at least 1 or None"),
    "two sizes": (changed(Tokens, input_size=2), r"`input_size` is 2 and `vocabulary` 4, but they must be equal"),
    "hashes are short": (changed(data_hashes=lambda self: {"a": "b"}), r"data_hashes returns \{'a': 'b'\}, but it must be a dict"),
}


@pytest.mark.parametrize(("task", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_task_is_refused(task: Task, message: str) -> None:
    assert re.search(message, refusal(task))


def test_the_message_names_the_line_that_raised() -> None:
    def lines(self: Task, output: Tensor, batch: Batch) -> Tensor:
        return torch.nn.functional.cross_entropy(output, batch.y)

    _, first = inspect.getsourcelines(lines)
    assert refusal(changed(loss=lines)).endswith(f"({__file__}:{first + 1}).")


def test_the_message_names_the_member_that_returned() -> None:
    def size(self: Task, split: Split) -> int:
        return 0

    _, first = inspect.getsourcelines(size)
    assert refusal(changed(size=size)).endswith(f"({__file__}:{first}).")


def test_missing_data_keep_their_own_message() -> None:
    def size(self: Task, split: Split) -> int:
        raise UserError("The data file is missing.")

    with pytest.raises(UserError, match=r"^The data file is missing\.$"):
        check_task(changed(size=size), "broken")


def test_what_cannot_be_hashed_is_refused() -> None:
    class Listed(Good):
        __hash__ = None  # type: ignore[assignment]

    with pytest.raises(UserError, match=r"^Task 'broken': its options cannot be hashed"):
        check_task(Listed(), "broken")


def test_equal_tasks_are_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def size(self: Task, split: Split) -> int | None:
        calls.append(split)
        return Good.size(self, split)  # type: ignore[arg-type]

    cls: Any = dataclass(frozen=True)(
        type("Counted", (Good,), {"size": size, "__annotations__": {"length": int}, "length": option(3, "unused")})
    )
    for length in (3, 3, 4, 3):
        check_task(cls(length=length), "counted")
    assert calls == ["train", "val", "test"] * 2


def test_the_state_of_random_generators_is_left_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    checking._check.cache_clear()
    check_task(Good(), "good")
    assert torch.equal(before, torch.get_rng_state())


def test_a_value_may_be_a_cached_property() -> None:
    value = cached_property(lambda self: 0.9)
    value.__set_name__(Good, "solved")
    task = changed(solved=value)
    type(task).check_class("good")
    check_task(task, "good")


def test_the_cause_of_an_error_is_kept() -> None:
    def loss(self: Task, output: Tensor, batch: Batch) -> Tensor:
        raise MemoryError("too much")

    batch = Good().batch("train", 0, np.arange(2))
    with pytest.raises(UserError, match="loss raises MemoryError: too much") as raised:
        Watched(changed(loss=loss), "broken").loss(torch.zeros(2, 5, 3), batch)
    assert isinstance(raised.value.__cause__, MemoryError)
