"""What torch's own tests ask of its recurrent modules, asked of `gatelab.RNN`: arguments, shapes and packing.

What is different by decision stands in the docstring of RNN; everything else that a user of torch.nn.LSTM writes has to work.
"""

import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from cells.variants import normal
from models.torch_suite import (
    LENGTHS,
    B,
    D,
    H,
    T,
    as_theirs,
    close,
    each_cell_and_backend,
    flat,
    gradients,
    inputs,
    make,
    modules,
    peer,
)
from tolerances import EXACT, FLOAT64
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence

from gatelab.errors import UserError
from gatelab.models import RNN

pytestmark = each_cell_and_backend


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
        output, last = theirs(x, as_theirs(state))
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
    arguments: tuple[dict[str, Any], ...] = (
        {"bias": "False"},
        {"batch_first": 1},
        {"dropout": True},
        {"dropout": 1.5},
        {"num_layers": 0},
        {"num_layers": 1.0},
    )
    for wrong in arguments:
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
        (found,) = torch.autograd.grad(output.sum(), [rnn.stack()[0].read("R")])  # an expanded cotangent
        (expected,) = torch.autograd.grad((rnn(x, state)[0] * torch.ones_like(output)).sum(), [rnn.stack()[0].read("R")])
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
            assert not output.requires_grad
            torch.testing.assert_close(output[0], expected[t], rtol=FLOAT64, atol=FLOAT64)


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
                result, final = theirs(packed, as_theirs(state))
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
        rnn.trace(pack_sequence(sequences))  # type: ignore[arg-type]
