"""Weights are read by their declared names: parametrised, pruned, computed, shared and hooked ones."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cells.variants import normal
from kernels.small import B, D, H, T, call, close, each_backend, network
from torch import nn
from torch.nn.utils import parametrizations, parametrize, prune

from gatelab.errors import UserError
from gatelab.models import RNN


def effective(rnn: RNN, name: str) -> RNN:
    """The same network with what a weight is now as an ordinary parameter."""
    plain = network("eager")
    with torch.no_grad():
        for key in plain.stack()[0].shapes:
            getattr(plain.layers["0"], key).copy_(rnn.stack()[0].read(key))
    return plain


def identity(layer: nn.Module, name: str) -> None:
    parametrize.register_parametrization(layer, name, nn.Identity())


def shared(layer: nn.Module, name: str) -> None:
    """Computed from a tensor of somebody else."""
    source = nn.Parameter(getattr(layer, name).detach() / 2)
    delattr(layer, name)
    setattr(layer, f"source_{name}", source)
    setattr(layer, name, source * 2)


def hooked_weight_norm(layer: nn.Module, name: str) -> None:
    with pytest.warns(FutureWarning, match="weight_norm"):
        nn.utils.weight_norm(layer, name)


CHANGES: list[Callable[[Any, str], Any]] = [
    identity,
    shared,
    hooked_weight_norm,
    parametrizations.weight_norm,
    parametrizations.spectral_norm,
    parametrizations.orthogonal,
    lambda layer, name: prune.l1_unstructured(layer, name, 0.5),
]
NAMES = ["identity", "computed", "weight_norm by a hook", "weight_norm", "spectral_norm", "orthogonal", "pruned"]


@each_backend
@pytest.mark.parametrize("change", CHANGES, ids=NAMES)
def test_what_stands_under_the_name_of_a_weight_is_used(backend: str, change: Callable[[Any, str], Any]) -> None:
    """Values, and gradients to what the weight is computed from."""
    rnn = network(backend).eval()  # spectral_norm goes one iteration further in training
    layer = rnn.layers["0"]
    for name in ("W", "R"):
        change(layer, name)
    if change in (identity, shared):
        change(layer, "b")
    x = normal(T, B, D)
    output = rnn(x)[0]
    plain = effective(rnn, "R")
    close(output, plain(x)[0])
    sources = list(layer.parameters())
    found = torch.autograd.grad(output.square().sum(), sources, retain_graph=True, allow_unused=True)
    wanted = torch.autograd.grad(plain(x)[0].square().sum(), [plain.stack()[0].read(name) for name in ("W", "R")])
    rnn(x)  # hooks compute the weights again, with a graph of their own
    expected = torch.autograd.grad([rnn.stack()[0].read(name) for name in ("W", "R")], sources, wanted, allow_unused=True)
    reached = 0
    for value, want in zip(found, expected, strict=True):
        if want is not None:  # the bias, which nothing was done to
            close(value, want)
            reached += 1
    assert reached >= 2


@each_backend
def test_a_weight_shared_by_two_layers_gets_both_gradients(backend: str) -> None:
    rnn = network(backend, num_layers=2)
    rnn.layers["1"].R = rnn.layers["0"].R
    x = normal(T, B, D)
    (total,) = torch.autograd.grad(rnn(x)[0].sum(), [rnn.stack()[0].read("R")])
    apart = network(backend, num_layers=2)
    apart.load_state_dict(rnn.state_dict())
    parts = torch.autograd.grad(apart(x)[0].sum(), [layer.read("R") for layer in apart.stack()])
    close(total, parts[0] + parts[1])


def test_a_reset_draws_the_originals_again_or_says_why_not() -> None:
    rnn = network()
    parametrizations.weight_norm(rnn.layers["0"], "R")
    before = rnn.stack()[0].read("R").detach().clone()
    rnn.reset_parameters()
    assert rnn.stack()[0].read("R").abs().max() <= H**-0.5
    assert not torch.equal(rnn.stack()[0].read("R"), before)
    pruned = network()
    prune.l1_unstructured(pruned.layers["0"], "W", 0.5)
    with pytest.raises(UserError, match="the weight 'W' cannot be set: it is computed, by a hook or from another tensor"):
        pruned.reset_parameters()


@each_backend
def test_hooks_of_layers_are_called(backend: str) -> None:
    rnn = network(backend, num_layers=2)
    seen: list[str] = []
    for name, layer in rnn.layers.items():
        layer.register_forward_pre_hook(lambda module, arguments, name=name: seen.append(f"before {name}"))
        layer.register_forward_hook(lambda module, arguments, result, name=name: seen.append(f"after {name}"))
    call(rnn)
    assert seen == ["before 0", "after 0", "before 1", "after 1"]


@pytest.mark.parametrize("cell", ["slstm", "sru", "t_gru"])
def test_parameters_that_are_joined_are_of_one_number_format(cell: str) -> None:
    rnn = RNN(cell, 4, 4)
    layer = rnn.stack()[0]
    delattr(layer, "b")
    layer.b = torch.zeros(layer.shapes["b"], dtype=torch.float16)
    with pytest.raises(UserError, match=r"b .*float16"):
        rnn(torch.zeros(3, 2, 4))
