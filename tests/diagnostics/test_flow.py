"""Gradient flow in closed form: a linear recurrence, whose gradients are known at every lag."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from cells.variants import VARIANTS, Variant, normal
from tolerances import FLOAT64
from torch import Tensor

from gatelab.cells import Cell
from gatelab.diagnostics import decay, flow, observe
from gatelab.models import RNN, SequenceModel
from gatelab.tasks import TASKS, Batch


@dataclass(frozen=True)
class Linear(Cell):
    """h = W x + R h."""

    gates = {"z": "block_input"}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"h": a.z}, {}


def linear(R: Tensor) -> RNN:
    rnn = RNN(Linear(), 2, len(R), bias=False, batch_first=True, backend="eager", dtype=torch.float64)
    with torch.no_grad():
        rnn.layers["0"].R.copy_(R)  # type: ignore[union-attr]
    return rnn


def followed(rnn: RNN, x: Tensor, loss: Any, lengths: Tensor | None = None) -> Tensor:
    """E||dL/dh|| of the whole state at every lag."""
    rnn.following = True
    output, state = rnn(x, lengths=lengths)
    loss(output, state[0][0]).backward()
    ((cotangents, found),) = observe.followed(rnn, 1.0).values()
    return flow.curve(flow.norms(cotangents, found)["state"], found)


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.25])
@pytest.mark.parametrize("lengths", [None, [30, 7, 12]], ids=str)
def test_a_linear_recurrence(gain: float, lengths: list[int] | None) -> None:
    """R = gain Q with Q orthogonal: dL/dh(T - k) = gain^k Q^k' dL/dh(T), whatever the input."""
    R = gain * torch.linalg.qr(normal(4, 4)).Q
    given = None if lengths is None else torch.tensor(lengths)
    found = followed(linear(R), normal(3, 30, 2), lambda output, last: last.sum(), given)
    expected = torch.tensor([2 * gain**lag for lag in range(30)], dtype=torch.float64)  # the norm of four ones is 2
    torch.testing.assert_close(found, expected, rtol=FLOAT64, atol=FLOAT64)
    fit = decay.fit(found.tolist())
    assert fit.slope == pytest.approx(math.log(gain), abs=FLOAT64)
    if gain < 1:
        assert fit.half_life == pytest.approx(math.log(2) / math.log(1 / gain))
        assert decay.half_life(range(30), found.tolist()) == pytest.approx(fit.half_life)


def test_a_loss_at_every_step() -> None:
    """Each step adds its own share: with R = 1/2, dL/dh(T - k) = 1 + 1/2 + ... + 2^-k."""
    found = followed(linear(torch.eye(1, dtype=torch.float64) / 2), normal(3, 8, 2), lambda output, last: output.sum())
    torch.testing.assert_close(found, 2 - 0.5 ** torch.arange(8.0, dtype=torch.float64), rtol=FLOAT64, atol=FLOAT64)


def test_norms_of_parts_make_up_that_of_the_state() -> None:
    given = {"h": torch.full((2, 1, 1), 3.0), "c": torch.full((2, 1, 1), 4.0)}
    assert {name: value.flatten().tolist() for name, value in flow.norms(given, None).items()} == {
        "h": [3, 3],
        "c": [4, 4],
        "state": [5, 5],
    }


def test_omega() -> None:
    """Pascanu et al. 2013: norms that halve at each of four steps give 4 (1/2 - 1)^2; equal ones 0."""
    halved = torch.tensor([16.0, 8.0, 4.0, 2.0, 1.0])[:, None]
    assert flow.ratios(halved, None).flatten().tolist() == [0.5] * 4
    assert flow.omega(flow.ratios(halved, None)) == 1
    assert flow.omega(flow.ratios(torch.ones(5, 3), None)) == 0
    # A row of three valid steps has two ratios; nothing divides by 0.
    both = torch.cat([halved, halved], 1)
    ratios = flow.ratios(both, torch.tensor([5, 3]))
    assert ratios[:, 1].isnan().tolist() == [False, False, True, True]
    assert flow.omega(ratios) == 0.75
    assert flow.ratios(torch.tensor([[0.0], [1.0]]), None).isnan().all()


# A cell with a memory cannot start anew from one state.
MEMORYLESS = [variant for variant in VARIANTS if (memory := variant.cell().memory) is None or memory.window == 1]


@pytest.mark.parametrize("variant", MEMORYLESS, ids=str)
def test_flow_is_the_derivative(variant: Variant) -> None:
    """dL/ds(t) against a loop that starts anew from s(t) as a leaf."""
    T = 5
    rnn = variant.rnn(2, 3, batch_first=True)
    x = normal(2, T, 2)
    rnn.following = True
    output, _ = rnn(x)
    weights = normal(*output.shape, seed=5)
    (output * weights).sum().backward()
    cotangents, _ = observe.followed(rnn, 1.0)["0"]
    rnn.following = False
    for t in range(T - 1):
        with torch.no_grad():
            state = rnn(x[:, : t + 1])[1]
        leaves = tuple(part.clone().requires_grad_() for part in state)
        later, _ = rnn(x[:, t + 1 :], leaves)
        out = torch.cat([leaves[rnn.cell.state.index(part)][0] for part in rnn.cell.outputs], -1)
        loss = (later * weights[:, t + 1 :]).sum() + (out * weights[:, t]).sum()
        assert not cotangents.keys() & set(rnn.cell.delayed)
        for part, gradient in zip(rnn.cell.state, torch.autograd.grad(loss, leaves, allow_unused=True), strict=True):
            if part in rnn.cell.delayed:
                continue
            nothing = torch.zeros(T, 2, 3, dtype=torch.float64)  # of a part that has no derivative, as a clock
            expected = nothing[t] if gradient is None else gradient[0]
            torch.testing.assert_close(cotangents.get(part, nothing)[t], expected, rtol=FLOAT64, atol=FLOAT64)


def small_batch(T: int) -> tuple[SequenceModel, Batch, Any]:
    task = TASKS.build("copying", length=T - 20)
    torch.manual_seed(0)
    model = SequenceModel(RNN("lstm", 10, 6, batch_first=True, dtype=torch.float64, backend="eager"), 10, "all", 10, dropout=0.5)
    return model.double(), task.batch("train", 0, np.arange(4)), task


def test_the_flow_of_the_end_and_what_it_leaves_alone() -> None:
    """Only the last step's share of the loss: nothing but that step's output has a derivative."""
    model, batch, task = small_batch(30)
    random = torch.get_rng_state()
    own, end = (observe.flow(model, task, batch, end=which)["0"][0] for which in (False, True))
    assert model.training
    model.eval()
    output, _ = model.rnn(model.encode(batch.x))
    last = output[:, -1].detach().requires_grad_()
    predicted = torch.cat([model.head(output[:, :-1]).detach(), model.head(last)[:, None]], 1)
    (expected,) = torch.autograd.grad(4 * task.loss(predicted, batch), last)
    torch.testing.assert_close(end["h"][-1], expected, rtol=FLOAT64, atol=FLOAT64)
    torch.testing.assert_close(own["h"][-1], expected, rtol=FLOAT64, atol=FLOAT64)
    assert (own["h"][5] - end["h"][5]).norm() > 0.01 * own["h"][5].norm()
    assert all(value.grad is None for value in model.parameters())
    assert not model.rnn.following
    assert model.rnn.followed == {}
    assert torch.equal(torch.get_rng_state(), random)
