"""Losses and metrics of every task on another device than the CPU: a tensor that is made on the CPU there would not fit.

The device is torch's `meta`, whose tensors have no numbers, so that the test needs no GPU.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from gatelab.tasks import TASKS, Batch


@pytest.mark.parametrize("name", TASKS.names())
def test_loss_and_metrics_stay_on_the_device_of_the_batch(name: str, request: pytest.FixtureRequest) -> None:
    task = TASKS.build(name)
    if task.data_hashes():
        request.getfixturevalue("mirror")
    batch = task.batch("val", 0, np.arange(3))
    shape = tuple(task.constant(batch).shape)
    with FakeTensorMode(allow_non_fake_inputs=True):  # which refuses tensors of two devices in one operator
        parts: list[Any] = [part if part is None else torch.empty(part.shape, dtype=part.dtype, device="meta") for part in batch]
        there = Batch(*parts)
        output = torch.empty(shape, device="meta", requires_grad=True)
        loss = task.loss(output, there)
        loss.backward()
        scores = task.metrics(output, there)
        constant = task.constant(there)
    assert output.grad is not None
    found = [loss, output.grad, constant, *(part for pair in scores.values() for part in pair)]
    assert {value.device.type for value in found} == {"meta"}
