"""Every cell and every task can be learnt: a cell overfits one batch of short sequences of a task."""

import numpy as np
import pytest
import torch
from designs import over

from gatelab.cells import CELLS
from gatelab.config import Model
from gatelab.tasks import TASKS
from gatelab.training.prepare import build_model
from gatelab.training.spec import Spec

SHORT = {
    "adding": {"length": 10},
    "copying": {"length": 3},
    "variable_copying": {"length": 3},
    "warp": {"length": 20},
}  # others: as they are
STEPS = 2000  # of Adam at 0.01; most pairs need fewer than 100, fgr on jsb 1,175 on a Xeon and fewer than 1,000 on an EPYC
# At 0.01 cfc saturates on copying, and stays so: its backbone, of which every step is one more layer, amplifies by up to 1.14.
# phased_lstm: a unit is open for a twentieth of its period, and a step of 0.01 moves its phase by a fifth of that.
RATES = {"cfc": 0.003, "phased_lstm": 0.003}


@over("cell_name", CELLS.names(), rows=1, task_name=TASKS.names())
def test_one_batch_is_overfitted(cell_name, task_name, small, request):
    if task_name == "jsb":
        request.getfixturevalue("mirror")
    task = TASKS.build(task_name, **SHORT.get(task_name, {}))
    torch.manual_seed(0)
    named = {"name": task_name, **SHORT.get(task_name, {})}
    model = build_model(Spec(small(cell={"name": cell_name}, task=named, model=Model(hidden_size=128))))
    batch = task.batch("train", 0, np.arange(2))
    # Half of the constant predictor's loss cannot be had without looking at the input.
    goal = 0.5 * task.loss(task.constant(batch), batch).item()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATES.get(cell_name, 0.01))
    loss = torch.tensor(torch.inf)
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = task.loss(model(batch.x, batch.lengths), batch)
        if loss.item() < goal:
            return
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    pytest.fail(f"{cell_name} on {task_name}: the loss is {loss.item():.4g} after {STEPS} steps, not below {goal:.4g}.")


@pytest.mark.slow
@pytest.mark.parametrize("cell_name", CELLS.names())
def test_training_lowers_the_loss(cell_name, small):
    """On batches that are never seen twice, 30 steps long: to what the constant predictor has or below, and it stays there."""
    task = TASKS.build("adding", length=30)
    torch.manual_seed(0)
    model = build_model(Spec(small(cell={"name": cell_name}, task={"name": "adding", "length": 30}, model=Model(hidden_size=32))))
    optimizer = torch.optim.Adam(model.parameters(), lr=RATES.get(cell_name, 0.01))
    losses, constant = [], []
    for number in range(300):
        batch = task.batch("train", 0, np.arange(32 * number, 32 * (number + 1)))
        loss = task.loss(model(batch.x, batch.lengths), batch)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        constant.append(task.loss(task.constant(batch), batch).item())
    assert np.isfinite(losses).all()
    assert np.mean(losses[-50:]) < min(0.5 * losses[0], 1.1 * np.mean(constant[-50:]))
