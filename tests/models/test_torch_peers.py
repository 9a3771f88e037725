"""Every cell that has a `peer` against that torch module: outputs, last states and all gradients, in float64."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from cells.variants import CELL_NAMES, normal
from models.torch_suite import as_theirs
from tolerances import FLOAT64
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gatelab.cells import CELLS
from gatelab.errors import UserError
from gatelab.models import RNN

PEERS = [name for name in CELL_NAMES if CELLS.get(name).peer is not None]
T, B, D, H = 6, 3, 3, 4

each_peer = pytest.mark.parametrize("name", PEERS)
each_depth = pytest.mark.parametrize("layers", [1, 2, 3])
each_direction = pytest.mark.parametrize("bidirectional", [False, True], ids=["one-way", "two-way"])
each_bias = pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])


def pair(name: str, **settings: Any) -> tuple[nn.RNNBase, RNN]:
    """A torch module with all weights from N(0, 0.5^2), and ours."""
    peer = CELLS.get(name).peer
    assert peer is not None
    theirs = peer(D, H, dtype=torch.float64, **settings)  # type: ignore[call-arg]
    with torch.no_grad():
        for number, parameter in enumerate(theirs.parameters()):
            parameter.copy_(0.5 * normal(*parameter.shape, seed=number))
    return theirs, RNN.from_torch(theirs, backend="eager")


def initial(rnn: RNN, single: bool) -> tuple[Tensor, ...]:
    shape = (rnn.num_layers * (2 if rnn.bidirectional else 1), *(() if single else (B,)), H)
    return tuple(normal(*shape, seed=20 + part).requires_grad_() for part in range(len(rnn.cell.state)))


def as_ours(state: Any) -> tuple[Tensor, ...]:
    return state if isinstance(state, tuple) else (state,)


def weighted(output: Tensor, state: tuple[Tensor, ...]) -> Tensor:
    """A scalar in which every output and every part of the last state has its own weight."""
    return sum((part * normal(*part.shape, seed=40 + n)).sum() for n, part in enumerate((output, *state)))  # type: ignore[return-value]


def close(ours: Tensor | None, theirs: Tensor | None) -> None:
    assert ours is not None
    assert theirs is not None
    torch.testing.assert_close(ours, theirs, rtol=FLOAT64, atol=FLOAT64)


def weight_gradients(theirs: nn.RNNBase, ours: RNN) -> Iterator[tuple[Tensor, Tensor]]:
    """Our gradient and torch's, for every parameter; each of torch's two biases is one of our rows."""
    for name, layer in ours.layers.items():
        own = dict(layer.named_parameters())
        yield own["W"].grad, getattr(theirs, f"weight_ih_l{name}").grad  # type: ignore[misc]
        yield own["R"].grad, getattr(theirs, f"weight_hh_l{name}").grad  # type: ignore[misc]
        if not theirs.bias:
            assert "b" not in own
            continue
        rows = dict(zip(ours.cell.gates, own["b"].grad.split(H), strict=True))  # type: ignore[union-attr]
        for kind, gates in (("ih", ours.cell.input_gates), ("hh", ours.cell.recurrent_gates)):
            yield torch.cat([rows[gate] for gate in gates]), getattr(theirs, f"bias_{kind}_l{name}").grad


def compare(theirs: nn.RNNBase, ours: RNN, results: tuple[Any, Any], inputs: tuple[Any, Any]) -> None:
    """Outputs, last states and gradients; `inputs` are the leaves (x, state) of ours and of theirs."""
    (output, last), (expected, expected_last) = results
    close(output, expected)
    expected_last = as_ours(expected_last)
    assert isinstance(last, tuple)
    assert len(last) == len(expected_last)
    for own, other in zip(last, expected_last, strict=True):
        close(own, other)
    weighted(output, last).backward()
    weighted(expected, expected_last).backward()
    for own, other in zip(inputs[0], inputs[1], strict=True):
        close(own.grad, other.grad)
    pairs = list(weight_gradients(theirs, ours))
    assert len(pairs) == len(list(theirs.parameters()))
    for own, other in pairs:
        close(own, other)


def copies(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.detach().clone().requires_grad_() for tensor in tensors)


@each_peer
@each_depth
@each_direction
@each_bias
@pytest.mark.parametrize("layout", ["time first", "batch first", "single"])
def test_same_network(name: str, layers: int, bidirectional: bool, bias: bool, layout: str) -> None:
    batch_first = layout == "batch first"
    theirs, ours = pair(name, num_layers=layers, bidirectional=bidirectional, bias=bias, batch_first=batch_first)
    shape = {"time first": (T, B, D), "batch first": (B, T, D), "single": (T, D)}[layout]
    x, state = normal(*shape, seed=30).requires_grad_(), initial(ours, single=layout == "single")
    x2, *state2 = copies((x, *state))
    results = ours(x, state), theirs(x2, as_theirs(tuple(state2)))
    compare(theirs, ours, results, ((x, *state), (x2, *state2)))


@each_peer
@each_direction
def test_zeros_are_the_default_state(name: str, bidirectional: bool) -> None:
    theirs, ours = pair(name, num_layers=2, bidirectional=bidirectional)
    x = normal(T, B, D).requires_grad_()
    (x2,) = copies((x,))
    compare(theirs, ours, (ours(x), theirs(x2)), ((x,), (x2,)))


@each_peer
@each_depth
@each_direction
@pytest.mark.parametrize("batch_first", [False, True], ids=["time first", "batch first"])
def test_lengths_are_a_packed_sequence(name: str, layers: int, bidirectional: bool, batch_first: bool) -> None:
    theirs, ours = pair(name, num_layers=layers, bidirectional=bidirectional, batch_first=batch_first)
    lengths = torch.tensor([4, T, 1])
    x, state = normal(*((B, T, D) if batch_first else (T, B, D)), seed=30).requires_grad_(), initial(ours, single=False)
    x2, *state2 = copies((x, *state))
    packed = pack_padded_sequence(x2, lengths, batch_first=batch_first, enforce_sorted=False)
    packed_output, expected_last = theirs(packed, as_theirs(tuple(state2)))
    expected, _ = pad_packed_sequence(packed_output, batch_first=batch_first, total_length=T)  # zeros behind the end
    results = ours(x, state, lengths), (expected, expected_last)
    compare(theirs, ours, results, ((x, *state), (x2, *state2)))


@each_peer
def test_settings_are_taken_over(name: str) -> None:
    peer = CELLS.get(name).peer
    assert peer is not None
    for settings in (
        {"num_layers": 2, "dropout": 0.25, "bidirectional": True},
        {"bias": False, "batch_first": True, "dtype": torch.float64},
    ):
        theirs = peer(D, H, **settings)  # type: ignore[call-arg]
        for training in (True, False):
            ours = RNN.from_torch(theirs.train(training))
            for what in ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional", "training"):
                assert getattr(ours, what) == getattr(theirs, what), what
            assert {value.dtype for value in ours.parameters()} == {settings.get("dtype", torch.float32)}
            assert ours.backend == "auto"


@each_peer
def test_weights_are_copies(name: str) -> None:
    theirs, ours = pair(name)
    before = ours(normal(T, B, D))[0]
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.zero_()
    assert torch.equal(ours(normal(T, B, D))[0], before)


def test_a_peer_belongs_to_one_cell() -> None:
    peers = [CELLS.get(name).peer for name in PEERS]
    assert len(set(peers)) == len(peers)
    assert peers, "no cell has a peer: nothing in this file ran"


@pytest.mark.parametrize(
    "module",
    [nn.RNN(D, H, nonlinearity="relu"), nn.LSTM(D, H, proj_size=2), type("Mine", (nn.LSTM,), {})(D, H)],
    ids=["relu", "proj_size", "subclass"],
)
def test_what_no_cell_computes_is_refused(module: nn.RNNBase) -> None:
    with pytest.raises(UserError, match=r"there is no cell for .*Accepted: torch.nn.LSTM, GRU and RNN \(tanh\)"):
        RNN.from_torch(module)
