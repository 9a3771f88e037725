"""What torch's own tests ask of its recurrent modules, asked of `gatelab.RNN`: five cells, both backends.

What is different by decision stands in the docstring of RNN; everything else that a user of torch.nn.LSTM writes has to work.
"""

import copy
import io
import itertools
import pickle
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from cells.variants import normal
from tolerances import EXACT, FLOAT32, FLOAT64
from torch import Tensor, fx, nn
from torch.nn.utils import clip_grad_norm_, parameters_to_vector, parametrizations, prune, vector_to_parameters
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence

from gatelab.models import RNN
from gatelab.registry import UserError

T, B, D, H = 7, 4, 3, 5
LENGTHS = [5, 7, 2, 7]  # not in order: what pack_padded_sequence calls enforce_sorted=False
DIRECTIONS = list(itertools.product((1, 2), (False, True), (False, True)))  # layers, both directions, batch first

pytestmark = [
    pytest.mark.parametrize("name", ["lstm", "gru", "rnn", "cifg", "peephole"]),
    pytest.mark.parametrize("backend", ["cpu", "eager"]),
]


def make(name: str, backend: str, layers: int = 1, both: bool = False, first: bool = False, **settings: Any) -> RNN:
    torch.manual_seed(3)
    settings = {"dtype": torch.float64, "batch_first": first, "bidirectional": both} | settings
    return RNN(name, D, H, layers, backend=backend, **settings)


def inputs(rnn: RNN, *, rows: int = B, dtype: torch.dtype = torch.float64) -> tuple[Tensor, tuple[Tensor, ...]]:
    """An input in the module's layout and a state."""
    x = normal(rows, T, D, dtype=dtype) if rnn.batch_first else normal(T, rows, D, dtype=dtype)
    shape = (len(rnn.layers), rows, H)
    return x, tuple(normal(*shape, seed=9 + part, dtype=dtype) for part in range(len(rnn.cell.state)))


def flat(result: Any) -> list[Tensor]:
    output, last = result
    return [output.data if isinstance(output, PackedSequence) else output, *last]


def close(ours: Any, theirs: Any, tolerance: float = FLOAT64) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def gradients(rnn: nn.Module, result: Any, *others: Tensor) -> list[Tensor]:
    loss = sum((value * normal(*value.shape, seed=30 + n, dtype=value.dtype)).sum() for n, value in enumerate(flat(result)))
    return list(torch.autograd.grad(loss, [*rnn.parameters(), *others]))  # type: ignore[arg-type]


def modules(name: str, backend: str) -> Iterator[RNN]:
    for layers, both, first in DIRECTIONS:
        yield make(name, backend, layers, both, first)


def peer(rnn: RNN) -> nn.RNNBase | None:
    return None if rnn.cell.peer is None else rnn.to_torch()


# ------------------------------------------------------------------------------------------------------------ arguments


def test_keywords_of_torch(name: str, backend: str) -> None:
    for rnn in modules(name, backend):
        x, state = inputs(rnn)
        expected = flat(rnn(x, state))
        close(flat(rnn(input=x, hx=state)), expected, EXACT)
        close(flat(rnn(x, hx=list(state))), expected, EXACT)
        close(flat(rnn(x, hx=None)), flat(rnn(x)), EXACT)
        if len(state) == 1:
            close(flat(rnn(x, state[0])), expected, EXACT)


def test_the_same_as_torch(name: str, backend: str) -> None:
    """Both ways: `to_torch` and back again compute the same, gradients of the input and state included."""
    for rnn in modules(name, backend):
        theirs = peer(rnn)
        if theirs is None:
            with pytest.raises(UserError, match=f"to_torch: torch has no module with the equations of {name}"):
                rnn.to_torch()
            continue
        x, state = inputs(rnn)
        sources = [value.requires_grad_() for value in (x, *state)]
        output, last = theirs(x, state if len(state) > 1 else state[0])
        expected = [output, *(last if isinstance(last, tuple) else (last,))]
        close(flat(rnn(x, state)), expected)
        again = RNN.from_torch(theirs, backend=backend)
        close(flat(again(x, state)), expected)
        found = gradients(rnn, rnn(x, state), *sources)[-len(sources) :]
        close(found, gradients(theirs, (output, expected[1:]), *sources)[-len(sources) :])
        assert {key: value.shape for key, value in again.state_dict().items()} == {
            key: value.shape for key, value in rnn.state_dict().items()
        }


def test_frozen_weights_and_settings_survive_the_way_to_torch_and_back(name: str, backend: str) -> None:
    rnn = make(name, backend, 2, True, True, dropout=0.25).eval()
    for layer in rnn.stack():
        layer.R.requires_grad_(False)
    if rnn.cell.peer is None:
        return
    theirs = rnn.to_torch()
    assert (theirs.num_layers, theirs.bidirectional, theirs.batch_first, theirs.dropout, theirs.training) == (
        2,
        True,
        True,
        0.25,
        False,
    )
    assert not theirs.weight_hh_l1_reverse.requires_grad
    assert theirs.weight_ih_l1_reverse.requires_grad
    again = RNN.from_torch(theirs)
    for one, other in zip(again.parameters(), rnn.parameters(), strict=True):
        assert one.requires_grad == other.requires_grad
        torch.testing.assert_close(one, other, rtol=0, atol=EXACT)
    theirs.bias_ih_l0.requires_grad_(False)
    assert RNN.from_torch(theirs).layers["0"].b.requires_grad  # one of torch's two biases still learns
    theirs.bias_hh_l0.requires_grad_(False)
    assert not RNN.from_torch(theirs).layers["0"].b.requires_grad


def test_wrong_shapes_raise_what_torch_raises(name: str, backend: str) -> None:
    rnn = make(name, backend)
    x, state = inputs(rnn)
    for wrong in (x[..., :-1], x[None], x[0, 0]):
        with pytest.raises(RuntimeError, match="the input has shape"):
            rnn(wrong, state)
    for change in (lambda part: part[:, :-1], lambda part: part[..., :-1], lambda part: part.repeat(2, 1, 1), lambda part: part[0]):
        with pytest.raises(RuntimeError, match="the state has shapes"):
            rnn(x, tuple(map(change, state)))
    with pytest.raises(RuntimeError, match="on meta"):
        rnn(x.to("meta"), state)
    for part in range(len(state)):
        mixed = tuple(value.float() if n == part else value for n, value in enumerate(state))
        with pytest.raises(RuntimeError, match=f"initial state {rnn.cell.state[part]} is float32, but the weight W is float64"):
            rnn(x, mixed)


def test_wrong_arguments_of_the_constructor(name: str, backend: str) -> None:
    for wrong in (
        {"bias": "False"},
        {"batch_first": 1},
        {"dropout": True},
        {"dropout": 1.5},
        {"num_layers": 0},
        {"num_layers": 1.0},
    ):
        with pytest.raises(UserError, match=f"RNN: {next(iter(wrong))} is"):
            RNN(name, D, H, backend=backend, **wrong)
    with pytest.raises(UserError, match="proj_size=2 is not available"):
        RNN(name, D, H, proj_size=2)
    with pytest.raises(UserError, match="nonlinearity='relu' is not available"):
        RNN(name, D, H, nonlinearity="relu")
    RNN(name, D, H, proj_size=0)


def test_dropout_with_one_layer_warns_as_in_torch(name: str, backend: str) -> None:
    with pytest.warns(UserWarning, match=r"dropout=0.5 has no effect with num_layers=1"):
        make(name, backend, dropout=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(name, backend, 2, dropout=0.5)


def test_what_modules_of_torch_have(name: str, backend: str) -> None:
    rnn = make(name, backend, 2, True)
    assert rnn.flatten_parameters() is None
    assert [len(weights) for weights in rnn.all_weights] == [len(rnn.stack()[0].shapes)] * 4
    assert {id(value) for weights in rnn.all_weights for value in weights} == {id(value) for value in rnn.parameters()}
    for attribute, value in {"input_size": D, "hidden_size": H, "num_layers": 2, "bias": True, "bidirectional": True}.items():
        assert getattr(rnn, attribute) == value
    assert f"{name}, 3, 5, num_layers=2, bidirectional=True, backend={backend}" in repr(rnn)


# --------------------------------------------------------------------------------------------------------------- shapes


def test_one_sequence_without_a_batch(name: str, backend: str) -> None:
    for rnn in modules(name, backend):
        x, state = inputs(rnn, rows=1)
        alone = x[0] if rnn.batch_first else x[:, 0]
        output, last = rnn(alone, tuple(part[:, 0] for part in state))
        expected, ends = rnn(x, state)
        close([output, *last], [expected[0] if rnn.batch_first else expected[:, 0], *(part[:, 0] for part in ends)], EXACT)


def test_batches_without_rows_and_inputs_without_steps(name: str, backend: str) -> None:
    for rnn in modules(name, backend):
        x, state = inputs(rnn, rows=0)
        output, last = rnn(x, state)
        assert output.shape == ((0, T) if rnn.batch_first else (T, 0)) + (H * len(rnn.layers) // rnn.num_layers,)
        assert [part.shape for part in last] == [(len(rnn.layers), 0, H)] * len(state)
        assert not any(value.any() for value in gradients(rnn, (output, last)))
        with pytest.raises(UserError, match="has no steps"):
            rnn(x.new_zeros((B, 0, D) if rnn.batch_first else (0, B, D)))


def test_any_strides(name: str, backend: str) -> None:
    """Expanded, sliced, transposed and reversed inputs and states, and gradients of any layout."""
    for rnn in (make(name, backend), make(name, backend, 2, True, True)):
        x, state = inputs(rnn)
        wide = torch.stack([x, x], -1)[..., 0]
        close(flat(rnn(wide, tuple(part.mT.contiguous().mT for part in state))), flat(rnn(x, state)))
        constant = x[:1, :1].expand_as(x)
        close(flat(rnn(constant)), flat(rnn(constant.contiguous())))
        output, _ = rnn(x, state)
        (found,) = torch.autograd.grad(output.sum(), [rnn.stack()[0].R])  # an expanded cotangent
        (expected,) = torch.autograd.grad((rnn(x, state)[0] * torch.ones_like(output)).sum(), [rnn.stack()[0].R])
        torch.testing.assert_close(found, expected, rtol=FLOAT64, atol=FLOAT64)


def test_no_state_is_a_state_of_zeros(name: str, backend: str) -> None:
    for rnn in modules(name, backend):
        x, state = inputs(rnn)
        close(flat(rnn(x)), flat(rnn(x, tuple(map(torch.zeros_like, state)))), EXACT)


def test_two_halves_of_a_sequence(name: str, backend: str) -> None:
    rnn = make(name, backend, 2)
    x, state = inputs(rnn)
    first, middle = rnn(x[:3], state)
    second, last = rnn(x[3:], middle)
    close([torch.cat([first, second]), *last], flat(rnn(x, state)))


def test_one_step_at_a_time_in_inference(name: str, backend: str) -> None:
    rnn = make(name, backend)
    x, state = inputs(rnn)
    expected, _ = rnn(x, state)
    with torch.inference_mode():
        for t in range(T):
            output, state = rnn(x[t : t + 1], state)
            torch.testing.assert_close(output[0], expected[t], rtol=FLOAT64, atol=FLOAT64)
    assert not output.requires_grad


# --------------------------------------------------------------------------------------------------------------- packing


def packings(x: Tensor, first: bool) -> Iterator[tuple[PackedSequence, list[int]]]:
    yield pack_padded_sequence(x, torch.tensor(LENGTHS), first, enforce_sorted=False), LENGTHS
    ordered = sorted(LENGTHS, reverse=True)
    yield pack_padded_sequence(x, ordered, first), ordered


def test_packed_sequences_in_and_out(name: str, backend: str) -> None:
    """As `lengths`, in the order in which they were packed; as torch's own modules where there is one."""
    for rnn in modules(name, backend):
        x, state = inputs(rnn)
        for packed, lengths in packings(x, rnn.batch_first):
            output, last = rnn(packed, state)
            assert isinstance(output, PackedSequence)
            expected, ends = rnn(x, state, lengths=torch.tensor(lengths))
            padded, sizes = pad_packed_sequence(output, rnn.batch_first)
            assert sizes.tolist() == lengths
            close([padded, *last], [expected, *ends], EXACT)
            close(gradients(rnn, (output, last)), gradients(rnn, (pack_like(expected, lengths, packed, rnn.batch_first), ends)))
            theirs = peer(rnn)
            if theirs is not None:
                result, final = theirs(packed, state if len(state) > 1 else state[0])
                close([output.data, *last], [result.data, *(final if isinstance(final, tuple) else (final,))])
                for field in ("batch_sizes", "sorted_indices", "unsorted_indices"):
                    one, other = getattr(output, field), getattr(result, field)
                    assert (one is None) == (other is None)
                    assert one is None or torch.equal(one, other)


def pack_like(value: Tensor, lengths: list[int], like: PackedSequence, first: bool) -> PackedSequence:
    return pack_padded_sequence(value, torch.tensor(lengths), first, enforce_sorted=like.sorted_indices is None)


def test_packed_sequences_of_other_kinds(name: str, backend: str) -> None:
    rnn = make(name, backend)
    sequences = [normal(length, D, seed=length) for length in (6, 4, 4, 1)]
    output, last = rnn(pack_sequence(sequences))
    padded, _ = pad_packed_sequence(output)
    for row, sequence in enumerate(sequences):
        alone, ends = rnn(sequence)
        close([padded[: len(sequence), row], *(part[:, row] for part in last)], [alone, *ends])
    with pytest.raises(UserError, match="a PackedSequence knows its lengths; leave out `lengths`"):
        rnn(pack_sequence(sequences), lengths=[1, 2, 3, 4])
    with pytest.raises(UserError, match="pad it and give `lengths`"):
        rnn.trace(pack_sequence(sequences))


# -------------------------------------------------------------------------------------------------------- as an nn.Module


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
    assert (layer.R == 0).sum() == layer.R.numel() // 2 or (layer.R == 0).sum() == round(layer.R.numel() * 0.5)
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
