"""What a call hands out: tensors that may be modified in place, contiguous gradients, nothing where there are no rows."""

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from cells.variants import normal
from kernels.small import B, D, H, T, call, close, each_backend, network
from tolerances import BFLOAT16
from torch import Tensor

from gatelab.errors import UserError
from gatelab.kernels import serving
from gatelab.kernels.cpu._call import POOL
from gatelab.models import RNN


@each_backend
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda o: o.mul_(2),
        lambda o: o.relu_(),
        lambda o: o.add_(1).square_(),
        lambda o: o.masked_fill_(o > 0, 0.0),
        lambda o: o[1:2].zero_(),
        lambda o: o.detach().zero_(),
    ],
    ids=["mul_", "relu_", "twice", "masked_fill_", "a part", "behind the back of autograd"],
)
def test_the_output_may_be_modified_in_place(backend: str, batch_first: bool, change: Callable[[Tensor], Any]) -> None:
    """For every backend, also with what the backward pass keeps of segments, with lengths, and in a graph that is kept."""
    found = []
    for own, copy in ((backend, False), ("eager", True)):
        rnn = network(own, "gru", batch_first=batch_first, checkpoint_every=8)
        x = normal(*((B, 20, D) if batch_first else (20, B, D)))
        output = rnn(x, lengths=torch.tensor([20, 3, 11]))[0]
        if copy:
            output = output.clone()
        change(output)
        loss = (output * normal(*output.shape, seed=5)).sum()
        torch.autograd.grad(loss, list(rnn.parameters()), retain_graph=True)
        found.append(torch.autograd.grad(loss, list(rnn.parameters())))
    for ours, theirs in zip(*found, strict=True):
        close(ours, theirs)


@each_backend
def test_the_last_state_may_be_modified_in_place(backend: str) -> None:
    rnn = network(backend)
    output, (h, c) = rnn(normal(T, B, D))
    found = torch.autograd.grad(output.sum() + h.mul_(2).sum() + c.zero_().sum(), list(rnn.parameters()))
    truth = network("eager")
    output, (h, c) = truth(normal(T, B, D))
    expected = torch.autograd.grad(output.sum() + 2 * h.sum(), list(truth.parameters()))
    for ours, theirs in zip(found, expected, strict=True):
        close(ours, theirs)


def test_an_output_is_freed_with_its_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the backward pass keeps of the output does not keep the graph alive, which keeps it."""
    returned: list[Any] = []
    monkeypatch.setattr(POOL, "give_back", lambda key, block: returned.append(key))
    gc.disable()
    try:
        output = call(network("cpu"))
        before = len(returned)
        del output
        assert len(returned) == before + 1
    finally:
        gc.enable()


@each_backend
def test_gradients_are_contiguous(backend: str) -> None:
    rnn = network(backend, "lstm")
    for gradient in torch.autograd.grad(call(rnn).sum(), list(rnn.parameters())):
        assert gradient.is_contiguous()


@each_backend
def test_a_batch_without_rows(backend: str) -> None:
    rnn = network(backend, num_layers=2, bidirectional=True)
    x = torch.zeros(T, 0, D, dtype=torch.float64, requires_grad=True)
    output, last = rnn(x)
    assert output.shape == (T, 0, 2 * H)
    assert [part.shape for part in last] == [(4, 0, H)] * 2
    output.sum().backward()
    assert x.grad is not None
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in rnn.parameters())
    assert rnn(x, lengths=torch.zeros(0, dtype=torch.int64))[0].shape == (T, 0, 2 * H)


def test_no_steps_are_refused() -> None:
    with pytest.raises(UserError, match=r"the input of shape \(0, 3, 3\) has no steps"):
        call(network(), torch.zeros(0, B, D, dtype=torch.float64))


def test_the_backend_that_serves_is_known_without_a_call() -> None:
    cell = network().cell
    assert serving(cell, torch.float32) == ("cpu", "")
    backend, reason = serving(cell, torch.bfloat16)
    assert backend == "eager"
    assert reason == "Skipping backend 'cpu': it needs float32 or float64, but the tensors are bfloat16."
    assert serving(cell, torch.float32, "meta").backend == "eager"
    with pytest.raises(UserError, match="cannot run this"):
        serving(cell, torch.float16, backend="cpu")


def test_autocast_converts_what_differs() -> None:
    """A state that autocast left in bfloat16 and parameters in float32 are no mistake there; without autocast they are."""
    rnn = RNN("lstm", D, H)
    x = torch.randn(T, B, D)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, (h, c) = rnn(x)
        low = tuple(part.bfloat16() for part in (h, c))
        output = rnn(x, low)[0]
    torch.testing.assert_close(output.float(), rnn(x, (h.float(), c.float()))[0], rtol=BFLOAT16, atol=BFLOAT16)
    with pytest.raises(UserError, match="initial state h is bfloat16"):
        rnn(x, low)
