"""Copying: both layouts entry by entry, and the level of a model without memory."""

import math

import numpy as np
import pytest
import torch

from gatelab.tasks import TASKS


def test_layout_of_tallec_and_ollivier() -> None:
    task = TASKS.build("copying", length=3)
    batch = task.batch("train", 0, np.arange(200))
    assert (task.vocabulary, task.input_size, task.output_size) == (10, 10, 10)
    assert batch.x.shape == batch.y.shape == (200, 23)
    letters = batch.x[:, :10]
    assert set(letters.unique().tolist()) == set(range(8))
    assert torch.equal(batch.x[:, 10:], torch.tensor([8, 8, 9] + [8] * 10).expand(200, -1))
    assert torch.equal(batch.y[:, :13], torch.full((200, 13), 8))
    assert torch.equal(batch.y[:, 13:], letters)


def test_layout_of_bai_et_al() -> None:
    task = TASKS.build("copying", length=3, layout="bai")
    batch = task.batch("train", 0, np.arange(200))
    assert (task.vocabulary, task.input_size, task.output_size) == (None, 1, 10)
    assert batch.x.shape == (200, 23, 1)
    assert batch.x.dtype == torch.float32
    digits = batch.x[:, :10, 0]
    assert set(digits.unique().tolist()) == set(range(1, 9))
    assert torch.equal(batch.x[:, 10:, 0], torch.tensor([0.0, 0.0] + [9.0] * 11).expand(200, -1))
    assert torch.equal(batch.y[:, :13], torch.zeros(200, 13, dtype=torch.int64))
    assert torch.equal(batch.y[:, 13:], digits.long())


@pytest.mark.parametrize("layout", ["tallec", "bai"])
@pytest.mark.parametrize(("length", "level"), [(50, 0.2971), (100, 0.1733), (500, 0.0400), (1000, 0.0204)])
def test_level_without_memory(layout: str, length: int, level: float) -> None:
    """The levels that Tallec & Ollivier and Bai et al. print. A reproduction that laid its target out as a second block after the
    input had 1029 steps for T = 500 and with them another level, 0.0202 instead of 0.0400."""
    task = TASKS.build("copying", length=length, layout=layout)
    assert task.chance == pytest.approx(10 * math.log(8) / (length + 20))
    assert task.chance == pytest.approx(level, abs=5e-5)
    batch = task.batch("test", 0, np.arange(32))
    assert float(task.loss(task.constant(batch), batch)) == pytest.approx(task.chance, rel=1e-6)


@pytest.mark.parametrize("layout", ["tallec", "bai"])
def test_recall_looks_at_the_last_ten_steps_only(layout: str) -> None:
    task = TASKS.build("copying", length=20, layout=layout)
    batch = task.batch("test", 0, np.arange(64))
    right = 50.0 * torch.nn.functional.one_hot(batch.y, 10).float()

    def recall(output: torch.Tensor) -> float:
        total, weight = task.metrics(output, batch)["recall"]
        assert weight == 640
        return float(total / weight)

    assert recall(right) == 1
    assert float(task.loss(right, batch)) < 1e-6
    blanked = right.clone()
    blanked[:, :-10] = 0
    assert recall(blanked) == 1
    blanked[:, -5:] = right[:, :5]  # answers the blank
    assert recall(blanked) == 0.5
    # 640 letters of chance 1/8: four standard errors.
    assert recall(task.constant(batch)) == pytest.approx(1 / 8, abs=4 * (1 / 8 * 7 / 8 / 640) ** 0.5)


def test_the_layouts_hold_the_same_letters() -> None:
    tallec, bai = (TASKS.build("copying", layout=layout).batch("train", 5, np.arange(9)) for layout in ("tallec", "bai"))
    assert torch.equal(tallec.x[:, :10] + 1, bai.x[:, :10, 0].long())
