"""What torch's own tests ask of its recurrent modules, asked of RNN as an nn.Module: copies, gradients, hooks, tracing."""

import copy
import io
import pickle

import pytest
import torch
from cells.variants import normal
from models.torch_suite import (
    B,
    D,
    H,
    T,
    close,
    each_cell_and_backend,
    flat,
    gradients,
    inputs,
    make,
    modules,
)
from tolerances import EXACT, FLOAT32
from torch import Tensor, fx, nn
from torch.nn.utils import clip_grad_norm_, parameters_to_vector, parametrizations, prune, vector_to_parameters

from gatelab.models import RNN

pytestmark = each_cell_and_backend


def test_a_copy_a_pickle_and_a_file_compute_the_same(name: str, backend: str) -> None:
    for rnn in (make(name, backend), make(name, backend, 2, True, True)):
        x, state = inputs(rnn)
        expected = flat(rnn(x, state))
        stored = io.BytesIO()
        torch.save(rnn.state_dict(), stored)
        stored.seek(0)
        fresh = make(name, backend, rnn.num_layers, rnn.bidirectional, rnn.batch_first)
        with torch.no_grad():
            for parameter in fresh.parameters():
                parameter.zero_()
        fresh.load_state_dict(torch.load(stored, weights_only=True))
        for other in (copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn)), fresh):
            close(flat(other(x, state)), expected, EXACT)


def test_number_formats(name: str, backend: str) -> None:
    rnn = make(name, backend)
    x, state = inputs(rnn)
    expected = flat(rnn(x, state))
    low = copy.deepcopy(rnn).float()
    close([value.double() for value in flat(low(x.float(), tuple(part.float() for part in state)))], expected, FLOAT32)
    close(flat(low.double()(x, state)), expected, FLOAT32)
    close(flat(copy.deepcopy(rnn).to(torch.float64)(x, state)), expected, EXACT)
    assert rnn.to("meta")(x.to("meta"))[0].shape == (T, B, H) if backend == "eager" else True


def test_the_same_weights_as_vector_and_under_an_optimiser(name: str, backend: str) -> None:
    rnn = make(name, backend, 2)
    x, _ = inputs(rnn)
    vector = parameters_to_vector(rnn.parameters())
    vector_to_parameters(torch.zeros_like(vector), rnn.parameters())
    assert not parameters_to_vector(rnn.parameters()).any()
    vector_to_parameters(vector, rnn.parameters())
    optimiser = torch.optim.SGD(rnn.parameters(), lr=0.1)
    before = rnn(x)[0].square().sum()
    before.backward()
    assert clip_grad_norm_(rnn.parameters(), 0.1) > 0
    optimiser.step()
    assert rnn(x)[0].square().sum() < before
    rnn.zero_grad()
    assert all(parameter.grad is None for parameter in rnn.parameters())


def test_dropout_acts_in_training_only_and_can_be_changed(name: str, backend: str) -> None:
    rnn = make(name, backend, 2, dropout=0.5)
    x, state = inputs(rnn)
    plain = make(name, backend, 2)
    close(flat(rnn.eval()(x, state)), flat(plain(x, state)), EXACT)
    rnn.train()
    torch.manual_seed(0)
    first = flat(rnn(x, state))
    assert not torch.equal(first[0], plain(x, state)[0])
    torch.manual_seed(0)
    close(flat(rnn(x, state)), first, EXACT)
    rnn.dropout = 0.0
    close(flat(rnn(x, state)), flat(plain(x, state)), EXACT)


def test_a_graph_may_be_used_twice_and_a_freed_one_says_so(name: str, backend: str) -> None:
    rnn = make(name, backend, 2, True)
    x, state = inputs(rnn)
    loss = rnn(x, state)[0].sum()
    first = torch.autograd.grad(loss, list(rnn.parameters()), retain_graph=True)
    close(torch.autograd.grad(loss, list(rnn.parameters())), first, EXACT)
    with pytest.raises(RuntimeError, match="a second time"):
        torch.autograd.grad(loss, list(rnn.parameters()))


def test_gradients_of_gradients(name: str, backend: str) -> None:
    rnn = RNN(name, 2, 2, backend=backend, dtype=torch.float64)
    x = normal(3, 2, 2).requires_grad_()
    state = tuple(normal(1, 2, 2, seed=4 + n).requires_grad_() for n in range(len(rnn.cell.state)))
    call = lambda *values: tuple(flat(rnn(values[0], values[1:])))  # noqa: E731
    assert torch.autograd.gradcheck(call, (x, *state))
    assert torch.autograd.gradgradcheck(call, (x, *state))


def test_the_output_may_be_modified_in_place(name: str, backend: str) -> None:
    for rnn in modules(name, backend):
        x, state = inputs(rnn)
        output, last = rnn(x, state)
        copied, others = rnn(x, state)
        result = (output.mul_(2).add_(1), tuple(part.square_() for part in last))
        close(gradients(rnn, result), gradients(rnn, (copied * 2 + 1, tuple(part**2 for part in others))))


def test_an_input_that_was_modified_in_place_is_noticed(name: str, backend: str) -> None:
    rnn = make(name, backend)
    x = normal(T, B, D).requires_grad_()
    given = x * 1
    loss = rnn(given)[0].sum()
    given.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_pruned_normalised_and_hooked(name: str, backend: str) -> None:
    rnn = make(name, backend)
    x, state = inputs(rnn)
    layer = rnn.stack()[0]
    prune.random_unstructured(layer, "R", 0.5)
    parametrizations.weight_norm(layer, "W")
    output = rnn(x, state)[0]
    R = layer.read("R")
    assert (R == 0).sum() in (R.numel() // 2, round(R.numel() * 0.5))
    output.sum().backward()
    for key, parameter in layer.named_parameters():
        assert parameter.grad is not None, key
    prune.remove(layer, "R")
    close([rnn(x, state)[0]], [output], EXACT)
    seen: list[tuple[int, ...]] = []
    rnn.register_forward_hook(lambda module, arguments, result: seen.append(tuple(result[0].shape)))
    rnn.register_full_backward_hook(lambda module, before, after: seen.append(tuple(before[0].shape)))
    rnn(x.requires_grad_(), state)[0].sum().backward()
    assert seen == [(T, B, H), (T, B, D)]


def test_functional_calls_and_ensembles(name: str, backend: str) -> None:
    rnn = make(name, backend)
    x, _ = inputs(rnn)
    doubled = {key: 2 * value for key, value in rnn.named_parameters()}
    called = torch.func.functional_call(rnn, doubled, (x,))
    other = copy.deepcopy(rnn)
    other.load_state_dict(doubled)
    close(flat(called), flat(other(x)), EXACT)


def test_symbolic_tracing_takes_it_as_a_leaf(name: str, backend: str) -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn, self.head = make(name, backend), nn.Linear(H, 2, dtype=torch.float64)

        def forward(self, x: Tensor) -> Tensor:
            output, last = self.rnn(x)
            return self.head(output) + self.head(last[0])

    model = Model()
    graph = fx.symbolic_trace(model)
    assert [node.target for node in graph.graph.nodes if node.op == "call_module"] == ["rnn", "head", "head"]
    x = normal(T, B, D)
    torch.testing.assert_close(graph(x), model(x), rtol=0, atol=EXACT)


def test_parameters_in_shared_memory_and_half_frozen(name: str, backend: str) -> None:
    rnn = make(name, backend).share_memory()
    x, state = inputs(rnn)
    rnn.stack()[0].W.requires_grad_(False)
    rnn(x, state)[0].sum().backward()
    assert rnn.stack()[0].W.grad is None
    assert rnn.stack()[0].R.grad is not None
    rnn.requires_grad_(False)
    assert not rnn(x, state)[0].requires_grad
    assert rnn(x.requires_grad_(), state)[0].requires_grad
