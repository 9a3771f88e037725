"""Gates that jump and have the derivative of another function: against torch with a rounding of its own derivative."""

from typing import Any

import pytest
import torch
from cells.variants import Variant, normal
from tolerances import FLOAT64
from torch import Tensor, sigmoid, tanh

from gatelab.models import RNN

T, B, D, H = 12, 3, 2, 4


class Rounded(torch.autograd.Function):
    """1 above 1/2, else 0; backward the identity."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return (value > 0.5).to(value.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


@pytest.mark.parametrize("backend", ["eager", pytest.param("cpu", marks=pytest.mark.slow)])
def test_the_derivative_is_that_of_the_identity(backend: str) -> None:
    rnn = Variant("skip_rnn", {}).rnn(D, H, backend=backend)
    with torch.no_grad():
        rnn.layers["0"].get_parameter("v").fill_(-0.5)  # about every third step is an update
    W, R, b, w, v = rnn.parameters()
    x = normal(T, B, D).requires_grad_()
    h = c = torch.zeros(B, H, dtype=torch.float64)
    due, added = torch.zeros(B, 1, dtype=torch.float64), torch.ones(B, 1, dtype=torch.float64)
    outputs, updates = [], []
    for one in x:
        due = due + torch.minimum(added, 1 - due)
        u = Rounded.apply(due)
        i, f, z, o = (one @ W.mT + h @ R.mT + b).chunk(4, -1)
        new = sigmoid(f) * c + sigmoid(i) * tanh(z)
        added = u * sigmoid(new @ w[:, None] + v) + (1 - u) * added
        h, c, due = u * sigmoid(o) * tanh(new) + (1 - u) * h, u * new + (1 - u) * c, (1 - u) * due
        outputs.append(h)
        updates.append(u)
    expected = torch.stack(outputs)
    output, _, traces = rnn.trace(x)
    torch.testing.assert_close(output, expected, rtol=FLOAT64, atol=FLOAT64)
    update = traces["0"].gates["update"]
    assert torch.equal(update, torch.stack(updates).expand_as(update))
    assert 0.1 < float(update.detach().mean()) < 0.9
    weights, sources = normal(T, B, H, seed=3), [x, *rnn.parameters()]
    found, by = (torch.autograd.grad((value * weights).sum(), sources) for value in (rnn(x)[0], expected))
    for one, other in zip(found, by, strict=True):
        torch.testing.assert_close(one, other, rtol=FLOAT64, atol=FLOAT64)


def test_it_starts_as_an_lstm_that_skips_nothing() -> None:
    """At the start values of the paper the next update is due after one step, as long as w . c is small."""
    rnn, lstm = (RNN(name, D, H, backend="eager", dtype=torch.float64, forget_bias=1.0) for name in ("skip_rnn", "lstm"))
    assert rnn.layers["0"].get_parameter("v").tolist() == [1.0]
    with torch.no_grad():
        rnn.layers["0"].get_parameter("w").mul_(0.1)
    lstm.load_state_dict({name: value for name, value in rnn.state_dict().items() if name in lstm.state_dict()})
    x = normal(T, B, D)
    assert torch.equal(rnn(x)[0], lstm(x)[0])
