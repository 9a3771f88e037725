"""The task contract, for every task in the registry and every value of its options that have choices."""

import dataclasses
from typing import Any, get_args

import numpy as np
import pytest
import torch

from gatelab.errors import UserError
from gatelab.options import describe
from gatelab.tasks import TASKS, Batch, Task
from gatelab.tasks._data import FILES
from gatelab.tasks._task import Split

SPLITS = get_args(Split)


def cases() -> list[Any]:
    found = []
    for name in TASKS.names():
        found.append(pytest.param(name, {}, id=name))
        for row in describe(TASKS.get(name)):
            for choice in row["choices"] or ():
                if choice != row["default"]:
                    found.append(pytest.param(name, {row["name"]: choice}, id=f"{name}-{choice}"))
    return found


@pytest.fixture(params=[pytest.param(case.values, id=case.id) for case in cases()])
def task(request: pytest.FixtureRequest) -> Task:
    name, options = request.param
    task = TASKS.build(name, **options)
    if task.data_hashes().keys() & FILES.keys():
        request.getfixturevalue("mirror")
    return task


def random_output(task: Task, batch: Batch, seed: int = 0) -> torch.Tensor:
    return torch.randn(task.constant(batch).shape, generator=torch.Generator().manual_seed(seed))


def rows(batch: Batch) -> list[tuple[np.ndarray, np.ndarray]]:
    """Each sequence without its padding."""
    if batch.lengths is None:
        return list(zip(batch.x.numpy(), batch.y.numpy(), strict=True))
    return [(x[:n].numpy(), y[:n].numpy()) for x, y, n in zip(batch.x, batch.y, batch.lengths, strict=True)]


def same(left: list[tuple[np.ndarray, np.ndarray]], right: list[tuple[np.ndarray, np.ndarray]]) -> bool:
    return all(np.array_equal(a, b) for one, other in zip(left, right, strict=True) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("split", SPLITS)
def test_shapes_and_types(task: Task, split: Split) -> None:
    batch = task.batch(split, 0, np.arange(5))
    if task.vocabulary is None:
        assert batch.x.dtype == torch.float32
        assert batch.x.ndim == 3
        assert batch.x.shape[2] == task.input_size
    else:
        assert batch.x.dtype == torch.int64
        assert batch.x.ndim == 2
        assert task.input_size == task.vocabulary
        assert 0 <= batch.x.min() <= batch.x.max() < task.vocabulary
    steps = batch.x.shape[1]
    assert len(batch.x) == len(batch.y) == 5
    assert batch.y.dtype in (torch.float32, torch.int64)
    assert batch.x.is_contiguous()
    assert batch.y.is_contiguous()
    assert task.constant(batch).shape == ((5, task.output_size) if task.readout == "last" else (5, steps, task.output_size))
    if batch.lengths is not None:
        assert batch.lengths.shape == (5,)
        assert batch.lengths.dtype == torch.int64
        assert batch.lengths.min() >= 1
        assert batch.lengths.max() == steps


@pytest.mark.parametrize("split", SPLITS)
def test_a_sequence_depends_on_its_index_and_on_nothing_else(task: Task, split: Split) -> None:
    scattered = np.array([7, 3, 4, 5, 40, 39, 7])
    together = rows(task.batch(split, 3, scattered))
    task.batch(split, 4, np.arange(20))  # calls in between leave no trace
    one_by_one = [rows(task.batch(split, 3, np.array([index])))[0] for index in reversed(scattered)][::-1]
    assert same(together, one_by_one)
    assert same(together, rows(dataclasses.replace(task).batch(split, 3, scattered)))
    assert task.repeats or not same(together[:1], together[1:2])


def test_only_generated_training_data_know_the_seed(task: Task) -> None:
    indices = np.arange(16)
    for split in ("val", "test"):
        assert same(rows(task.batch(split, 0, indices)), rows(task.batch(split, 1, indices)))
    assert same(rows(task.batch("train", 0, indices)), rows(task.batch("train", 1, indices))) == (task.size("train") is not None)


def test_splits_share_no_sequence(task: Task) -> None:
    if task.repeats:  # what is said of a grammar of short strings is so
        strings = rows(task.batch("train", 0, np.arange(512)))
        assert len({x.tobytes() for x, _ in strings}) < len(strings)
        return
    groups: list[tuple[Split, int]] = [("train", 0), ("val", 0), ("test", 0)]
    if task.size("train") is None:
        groups.append(("train", 1))
    seen = []
    for split, seed in groups:
        indices = np.arange(min(task.size(split) or 512, 512))
        seen.append({x.tobytes() for x, _ in rows(task.batch(split, seed, indices))})
        assert len(seen[-1]) == len(indices)
    assert len(set.union(*seen)) == sum(map(len, seen))


def test_sizes(task: Task) -> None:
    for split in ("val", "test"):
        size = task.size(split)
        assert size is not None
        assert size > 0
        assert len(task.batch(split, 0, np.array([size - 1])).x) == 1


@pytest.mark.slow
def test_a_constant_predictor_scores_chance(task: Task) -> None:
    """Exactly on real data, up to float32; on generated data within four standard errors, which are 0 where chance has no noise."""
    size = task.size("test")
    assert size is not None
    if task.size("train") is None:
        size = min(size, 1024)
    sums, weights = [], []
    for index in range(size):
        batch = task.batch("test", 0, np.array([index]))
        total, weight = task.metrics(task.constant(batch), batch)[task.metric]
        sums.append(float(total))
        weights.append(float(weight))
    score = sum(sums) / sum(weights)
    error = 1e-5 * task.chance
    if task.size("train") is None:
        error += 4 * float(np.std(np.array(sums) / np.array(weights), ddof=1)) / size**0.5
    assert abs(score - task.chance) <= error


def test_solved_is_better_than_chance(task: Task) -> None:
    assert (task.solved > task.chance) == task.higher_is_better
    assert task.solved != task.chance
    assert task.chance_derivation
    assert task.solved_derivation


def test_the_scale_suits_the_score(task: Task) -> None:
    """Shares are compared as logits; a loss whose best value is 0 on a log scale, one with a floor on a linear scale."""
    assert (task.scale == "logit") == task.higher_is_better
    assert task.shape in ("any", "single")
    if task.scale == "log":
        assert 0 < task.solved < task.chance / 5, "a task with a solved level so near to chance does not span decades"


def test_scores_of_parts_add_up_to_the_score_of_the_whole(task: Task) -> None:
    whole = task.batch("test", 0, np.arange(7))
    output = random_output(task, whole)
    expected = task.metrics(output, whole)
    assert task.metric in expected
    totals = {name: [0.0, 0.0] for name in expected}
    for start, stop in ((0, 3), (3, 7)):
        part = task.batch("test", 0, np.arange(start, stop))
        cut = output[start:stop, : part.x.shape[1]] if task.readout == "all" else output[start:stop]
        for name, (total, weight) in task.metrics(cut, part).items():
            assert total.ndim == weight.ndim == 0
            totals[name][0] += float(total)
            totals[name][1] += float(weight)
    for name, (total, weight) in expected.items():
        assert totals[name] == pytest.approx([float(total), float(weight)], rel=1e-5)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 0.0), (torch.bfloat16, 0.02)])
def test_loss_in_every_float_type(task: Task, dtype: torch.dtype, tolerance: float) -> None:
    """bfloat16 keeps 8 bits: each output is off by up to 0.4%, and the loss is a mean over many."""
    batch = task.batch("train", 0, np.arange(8))
    output = random_output(task, batch)
    loss = task.loss(output.to(dtype), batch)
    assert loss.ndim == 0
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert float(loss) == pytest.approx(float(task.loss(output, batch)), rel=tolerance)
    for total, weight in task.metrics(output.to(dtype), batch).values():
        assert total.dtype in (torch.float32, torch.float64)
        assert float(weight) > 0


def test_valid_outputs_have_a_gradient_and_padding_counts_for_nothing(task: Task) -> None:
    batch = task.batch("train", 0, np.arange(6))
    padded = torch.zeros(batch.x.shape[: 1 if task.readout == "last" else 2], dtype=torch.bool)
    other = batch
    if batch.lengths is not None and task.readout == "all":
        padded = torch.arange(padded.shape[1]) >= batch.lengths[:, None]
        assert padded.any()
        other = batch._replace(y=torch.where(padded.view(*padded.shape, *[1] * (batch.y.ndim - 2)), 1 - batch.y, batch.y))
    output = random_output(task, batch)
    poisoned = output.masked_fill(padded[..., None], torch.nan).requires_grad_()
    loss = task.loss(poisoned, other)
    assert loss.detach() == task.loss(output, batch)
    loss.backward()
    assert poisoned.grad is not None
    assert poisoned.grad.isfinite().all()
    assert torch.equal(poisoned.grad.abs().sum(-1) > 0, ~padded)
    for name, scores in task.metrics(output, batch).items():
        assert task.metrics(poisoned.detach(), other)[name] == scores


def test_data_hashes_are_sha256(task: Task) -> None:
    for name, digest in task.data_hashes().items():
        assert name
        assert len(bytes.fromhex(digest)) == 32


def test_options_out_of_bounds_are_refused(task: Task) -> None:
    for field in dataclasses.fields(task):
        assert field.metadata.get("help"), f"option '{field.name}' has no help"
        if "minimum" in field.metadata:
            with pytest.raises(UserError, match=rf"'{field.name}' is .* at least"):
                dataclasses.replace(task, **{field.name: field.metadata["minimum"] - 1})
            smallest = dataclasses.replace(task, **{field.name: field.metadata["minimum"]})
            batch = smallest.batch("train", 0, np.arange(3))
            assert torch.isfinite(smallest.loss(random_output(smallest, batch), batch))
