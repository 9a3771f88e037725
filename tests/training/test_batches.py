"""Streams of batches."""

import itertools

import numpy as np
import pytest
import torch

from gatelab.tasks import TASKS
from gatelab.training import data
from gatelab.training.data import EVALUATION_BATCH, EvaluationBatches, TrainingStream


def test_finite_data_comes_in_epochs_of_permutations():
    task = TASKS.build("digits")
    size = task.size("train")
    stream = TrainingStream(task, 0, 100, lambda: 0)
    assert size is not None
    batches = size // 100
    epochs = [np.concatenate([stream.indices(epoch * batches + place) for place in range(batches)]) for epoch in range(3)]
    for indices in epochs:
        assert len(set(indices.tolist())) == batches * 100
        assert indices.max() < size
    assert not np.array_equal(epochs[0], epochs[1])
    assert set(epochs[0].tolist()) != set(epochs[1].tolist())  # what was left out of one epoch is in the next


def test_a_stream_goes_on_anywhere():
    task = TASKS.build("adding", length=5)
    whole = iter(TrainingStream(task, 3, 4, lambda: 0))
    expected = [next(whole).x for _ in range(6)]
    later = iter(TrainingStream(task, 3, 4, lambda: 4))
    assert torch.equal(next(later).x, expected[4])
    assert torch.equal(next(later).x, expected[5])


def test_a_batch_is_never_larger_than_the_data():
    task = TASKS.build("digits")
    assert len(next(iter(TrainingStream(task, 0, 10**6, lambda: 0))).x) == task.size("train")


@pytest.mark.parametrize("split", ["val", "test"])
def test_evaluation_sees_every_sequence_once(split):
    task = TASKS.build("digits")
    batches = list(EvaluationBatches(task, split))
    assert len(batches) == len(EvaluationBatches(task, split))
    assert all(len(batch.x) <= EVALUATION_BATCH for batch in batches)
    assert sum(len(batch.x) for batch in batches) == task.size(split)


@pytest.mark.parametrize("most", [0, 1000, 2**30])
@pytest.mark.parametrize("name", TASKS.names())
def test_batches_made_ahead_are_those_made_one_by_one(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, name: str, most: int
):
    monkeypatch.setattr(data, "AHEAD_BYTES", most)
    task = TASKS.build(name)
    if task.data_hashes():
        request.getfixturevalue("mirror")
    stream = TrainingStream(task, 3, 4, lambda: 7)
    for number, batch in enumerate(itertools.islice(stream, 25), 7):
        for part, alone in zip(batch, task.batch("train", 3, stream.indices(number)), strict=True):
            assert part is alone is None or torch.equal(part, alone)  # type: ignore[arg-type]


@pytest.mark.parametrize("kept", [0, 2**24])
def test_a_small_split_is_made_once(monkeypatch: pytest.MonkeyPatch, kept: int):
    monkeypatch.setattr(data, "KEPT_BYTES", kept)
    task = TASKS.build("digits")
    batches = EvaluationBatches(task, "val")
    first, second = ([batch.x for batch in batches] for _ in range(2))
    assert len(first) == len(second) == len(batches)
    assert all(torch.equal(*pair) for pair in zip(first, second, strict=True))
    assert all((one is other) == bool(kept) for one, other in zip(first, second, strict=True))
