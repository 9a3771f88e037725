"""Adding: where the marks are and what the target is."""

import numpy as np
import pytest
import torch

from gatelab.tasks import TASKS
from gatelab.tasks._task import Batch


@pytest.mark.parametrize("length", [2, 3, 7, 100])
def test_one_mark_in_each_half_and_their_sum(length: int) -> None:
    batch = TASKS.build("adding", length=length).batch("train", 0, np.arange(2000))
    values, marks = batch.x[:, :, 0], batch.x[:, :, 1]
    assert batch.x.shape == (2000, length, 2)
    assert set(marks.unique().tolist()) <= {0.0, 1.0}
    assert (marks[:, : length // 2].sum(1) == 1).all()
    assert (marks[:, length // 2 :].sum(1) == 1).all()
    assert batch.y.shape == (2000, 1)
    assert torch.equal(batch.y, (values * marks).sum(1, keepdim=True))
    assert 0 <= values.min() <= values.max() <= 1


def test_marks_and_values_are_uniform() -> None:
    batch = TASKS.build("adding", length=5).batch("train", 1, np.arange(6000))
    share = batch.x[:, :, 1].mean(0)
    # 2 steps share the first mark and 3 the second; five standard errors of a share of 1/2 in 6,000 are 0.033.
    assert share.tolist() == pytest.approx([1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3], abs=0.033)
    values = batch.x[:, :, 0]
    assert values.mean().item() == pytest.approx(1 / 2, abs=5 * (1 / 12 / values.numel()) ** 0.5)
    assert values.var().item() == pytest.approx(1 / 12, abs=5 * (1 / 180 / values.numel()) ** 0.5)


def test_score_by_hand() -> None:
    task = TASKS.build("adding", length=2)
    batch = Batch(torch.zeros(2, 2, 2), torch.tensor([[0.5], [1.5]]))
    output = torch.tensor([[1.0], [1.0]])
    assert task.loss(output, batch) == 0.25
    assert [float(value) for value in task.metrics(output, batch)["mse"]] == [0.5, 2.0]
    assert task.chance == pytest.approx(1 / 6)
    assert task.loss(batch.y, batch) == 0
