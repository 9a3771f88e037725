"""Digits: the split covers the data once, and a step is the pixel it should be."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from gatelab.tasks import TASKS, Batch
from gatelab.tasks._task import Split

TASK = TASKS.build("digits")


def whole(split: Split) -> Batch:
    size = TASK.size(split)
    assert size is not None
    return TASK.batch(split, 0, np.arange(size))


def test_splits_are_disjoint_and_cover_all_images() -> None:
    pixels, classes = load_digits(return_X_y=True)
    parts = [whole(split) for split in ("train", "val", "test")]
    assert [len(part.x) for part in parts] == [1197, 300, 300]
    # As multisets: an image in two splits would be missing elsewhere.
    found = [
        (16 * x[:, 0]).numpy().astype(int).tobytes() + bytes([y]) for part in parts for x, y in zip(part.x, part.y, strict=True)
    ]
    expected = [image.astype(int).tobytes() + bytes([label]) for image, label in zip(pixels, classes, strict=True)]
    assert len(found) == 1797
    assert sorted(found) == sorted(expected)
    assert len(set(expected)) == 1797


def test_the_split_is_the_same_for_ever() -> None:
    """Written down on the day of the first release of this task: a change makes all scores incomparable."""
    counts = {split: np.bincount(whole(split).y).tolist() for split in ("train", "val", "test")}
    assert counts == {
        "train": [107, 128, 113, 126, 126, 122, 125, 121, 107, 122],
        "val": [37, 28, 29, 27, 29, 30, 33, 26, 31, 30],
        "test": [34, 26, 35, 30, 26, 30, 23, 32, 36, 28],
    }
    assert whole("test").y[:10].tolist() == [1, 7, 8, 8, 2, 3, 7, 8, 9, 1]


def test_pixels_come_row_by_row() -> None:
    batch = whole("test")
    digits: Any = load_digits()
    images = digits.images / 16
    image = batch.x[0, :, 0].reshape(8, 8).numpy()
    assert any(np.array_equal(image, other) for other in images)
    assert batch.x.min() == 0
    assert batch.x.max() == 1


def test_chance_is_the_most_frequent_training_digit_on_the_test_split() -> None:
    assert TASK.chance == pytest.approx(26 / 300)  # 128 ones in train are the most, 26 of the test images are ones
    batch = whole("test")
    scores = TASK.metrics(TASK.constant(batch), batch)
    assert [float(value) for value in scores["accuracy"]] == [26, 300]
    assert float(scores["nll"][0] / scores["nll"][1]) == pytest.approx(np.log(10), abs=0.02)


def test_the_solved_level_can_be_reached() -> None:
    train, test = whole("train"), whole("test")
    neighbour = KNeighborsClassifier(1).fit(train.x[:, :, 0].numpy(), train.y.numpy())
    answer = torch.nn.functional.one_hot(torch.from_numpy(neighbour.predict(test.x[:, :, 0].numpy())), 10)
    right, count = TASK.metrics(answer.float(), test)["accuracy"]
    assert right / count > TASK.solved
