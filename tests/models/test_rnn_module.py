"""RNN as a torch module: dropout, state_dict, dtypes, devices, copies, transforms, and what it says to wrong arguments."""

import copy
import io
import logging
import pickle
import re
from typing import Any

import pytest
import torch
from cells.variants import TOO_FINE, Variant, each_cell, each_default, each_kind, each_variant, normal, random_state
from tolerances import BFLOAT16, EXACT, FLOAT32, FLOAT64
from torch import Tensor, nn
from torch.func import functional_call, jacrev, stack_module_state, vmap

from gatelab.cells import CELLS, without_weights
from gatelab.errors import UserError
from gatelab.kernels import BACKENDS
from gatelab.models import RNN

T, B, D, H = 6, 4, 3, 5
LENGTHS = torch.tensor([4, T, 1, 3])


def flat(result: tuple[Tensor, tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
    return result[0], *result[1]


def close(left: Any, right: Any, tolerance: float = FLOAT64) -> None:
    torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


# Dropout.


@each_default
def test_dropout_is_between_layers_and_in_training(variant: Variant) -> None:
    """With probability 1 the second layer gets zeros in training, and its own output is not dropped; in evaluation nothing is."""
    plain, dropping = (variant.rnn(D, H, num_layers=2, dropout=value) for value in (0.0, 1.0))
    x, state = normal(T, B, D), random_state(plain, B)
    width = plain.output_size
    top = variant.rnn(width, H)
    top.layers["0"].load_state_dict(plain.layers["1"].state_dict())
    expected, _ = top(torch.zeros(T, B, width, dtype=x.dtype), tuple(part[1:] for part in state))
    output, last = dropping.train()(x, state)
    close(output, expected)
    assert output.any()  # not `all`: a rectified unit may be silent
    for own, other in zip(last, plain(x, state)[1], strict=True):
        close(own[0], other[0])
    close(flat(dropping.eval()(x, state)), flat(plain(x, state)), EXACT)
    with pytest.warns(UserWarning, match="no effect with num_layers=1"):
        one_layer = variant.rnn(D, H, dropout=1.0).train()
    close(flat(one_layer(x)), flat(variant.rnn(D, H)(x)), EXACT)


def test_dropout_keeps_the_mean_and_draws_anew() -> None:
    """Survivors are scaled by 1/(1-p): the same draw of torch's dropout, put between two networks of one layer."""
    whole = Variant("rnn", {}).rnn(D, H, num_layers=2, dropout=0.5).train()
    lower, upper = Variant("rnn", {}).rnn(D, H), Variant("rnn", {}).rnn(H, H)
    lower.layers["0"].load_state_dict(whole.layers["0"].state_dict())
    upper.layers["0"].load_state_dict(whole.layers["1"].state_dict())
    x = normal(T, B, D)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        output, _ = whole(x)
        assert not torch.equal(whole(x)[0], output)
        torch.manual_seed(3)
        close(output, upper(nn.functional.dropout(lower(x)[0], 0.5, training=True))[0])


# Parameters and state_dict.


@each_kind
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_state_dict_keys(variant: Variant, bias: bool) -> None:
    rnn = variant.rnn(D, H, num_layers=2, bidirectional=True, bias=bias)
    memory = [f"memory_{name}" for name in (rnn.cell.memory.parameters(D, H) if rnn.cell.memory else ())]
    late = [f"R_{name}" for name in rnn.cell.late]
    names = [
        "W",
        *(f"W_{name}" for name in without_weights(rnn.cell, "raw")),
        *(["R"] if rnn.cell.recurrent_gates else []),
        *late,
        *(["b"] if bias else []),
        *rnn.cell.vectors,
        *memory,
    ]
    expected = [f"layers.{layer}.{name}" for layer in ("0", "0_reverse", "1", "1_reverse") for name in names]
    assert list(rnn.state_dict()) == [name for name, _ in rnn.named_parameters()] == expected
    assert rnn.layers["1"].W.shape[1] == rnn.output_size  # type: ignore[union-attr]


@each_default
def test_state_dict_loads_into_every_backend(variant: Variant) -> None:
    """Through a file, without pickled code; the numbers of the backends are compared in tests/kernels."""
    rnn = variant.rnn(D, H, num_layers=2, bidirectional=True)
    file = io.BytesIO()
    torch.save(rnn.state_dict(), file)
    for backend in ("auto", *BACKENDS):
        file.seek(0)
        other = RNN(variant.name, D, H, 2, bidirectional=True, backend=backend, dtype=torch.float64, **variant.options)
        other.load_state_dict(torch.load(file, weights_only=True))
        assert other.backend == backend
        for name, value in other.state_dict().items():
            assert torch.equal(value, rnn.state_dict()[name])


@each_cell
def test_a_cell_is_given_by_name_or_as_an_instance(name: str) -> None:
    by_name, by_instance = RNN(name, D, H, backend="eager"), RNN(CELLS.build(name), D, H, backend="eager")
    assert by_name.cell == by_instance.cell
    assert by_name.cell_name == by_instance.cell_name == name
    by_instance.load_state_dict(by_name.state_dict())
    x = normal(T, B, D, dtype=torch.float32)
    close(flat(by_name(x)), flat(by_instance(x)), EXACT)


@each_variant
def test_repr_says_what_it_is(variant: Variant) -> None:
    text = repr(variant.rnn(D, H, num_layers=2, bidirectional=True))
    assert re.search(rf"\b{variant.name}, {D}, {H}, num_layers=2, bidirectional=True, backend=eager", text)
    for option, value in variant.options.items():
        assert f"{option}={value!r}" in text


# Numbers, devices, copies.


@each_default
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, FLOAT32), (torch.bfloat16, BFLOAT16)], ids=str)
def test_dtypes(variant: Variant, dtype: torch.dtype, tolerance: float) -> None:
    """Forward and backward in that dtype throughout, near float64 on the same rounded numbers."""
    if dtype == torch.bfloat16 and variant.cell().straight_through:
        pytest.skip("a gate that jumps may round to the other side in 8 bits, where the result is another one")
    if dtype == torch.bfloat16 and variant.name in TOO_FINE:
        pytest.skip(TOO_FINE[variant.name])
    rnn = variant.rnn(D, H, scale=0.3, bidirectional=True, dtype=dtype)
    assert {parameter.dtype for parameter in rnn.parameters()} == {dtype}
    x, state = normal(T, B, D).to(dtype).requires_grad_(), tuple(part.to(dtype) for part in random_state(rnn, B))
    wide = copy.deepcopy(rnn).double()
    wide_x = x.detach().double().requires_grad_()
    results = flat(rnn(x, state, LENGTHS))
    expected = flat(wide(wide_x, tuple(part.double() for part in state), LENGTHS))
    for own, other in zip(results, expected, strict=True):
        assert own.dtype == dtype
        close(own.double(), other, tolerance)
    results[0].sum().backward()
    expected[0].sum().backward()
    for own, other in zip([x, *rnn.parameters()], [wide_x, *wide.parameters()], strict=True):
        assert own.grad is not None
        assert own.grad.dtype == dtype
        # of the largest entry: small ones are differences of large ones
        close(own.grad.double(), other.grad, tolerance * max(1.0, float(other.grad.abs().max())))  # type: ignore[union-attr]
    assert rnn(x)[1][0].dtype == dtype
    assert all(part.dtype == dtype for trace in rnn.trace(x)[2].values() for part in trace.states.values())


@each_kind
def test_device_and_dtype_are_those_of_the_parameters(variant: Variant) -> None:
    for device in ("meta", torch.device("cpu")):
        rnn = RNN(variant.name, D, H, 2, bidirectional=True, device=device, dtype=torch.float16, **variant.options)
        assert {(value.device.type, value.dtype) for value in rnn.parameters()} == {(torch.device(device).type, torch.float16)}
    assert {value.dtype for value in RNN(variant.name, D, H, **variant.options).parameters()} == {torch.get_default_dtype()}


@each_kind
@pytest.mark.slow
def test_copies_compute_the_same(variant: Variant) -> None:
    rnn = variant.rnn(D, H, num_layers=2, bidirectional=True, dropout=0.5).eval()
    x = normal(T, B, D)
    rnn.recording = True
    expected = flat(rnn(x, None, LENGTHS))
    rnn.recording = False
    for other in (copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn))):
        assert other.cell == rnn.cell
        close(flat(other(x, None, LENGTHS)), expected, EXACT)
        with torch.no_grad():
            next(other.parameters()).zero_()
    close(flat(rnn(x, None, LENGTHS)), expected, EXACT)


@each_kind
def test_without_gradients(variant: Variant) -> None:
    rnn = variant.rnn(D, H, num_layers=2, bidirectional=True)
    x = normal(T, B, D)
    expected = flat(rnn(x, None, LENGTHS))
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            results = flat(rnn(x, None, LENGTHS))
            close(rnn.trace(x, None, LENGTHS)[0], results[0], EXACT)
        assert not any(part.requires_grad for part in results)
        close(tuple(part.clone() for part in results), tuple(part.detach() for part in expected), EXACT)


@each_default
def test_function_transforms(variant: Variant) -> None:
    """vmap over stacked weights is an ensemble; jacrev over the input is rows of autograd."""
    networks = [variant.rnn(D, H, scale=scale) for scale in (0.3, 0.6, 0.9)]
    parameters, _ = stack_module_state(networks)  # type: ignore[arg-type]
    x = normal(T, B, D)
    together = vmap(lambda values: functional_call(networks[0], values, (x,))[0])(parameters)
    for row, network in zip(together, networks, strict=True):
        close(row, network(x)[0])
    jacobian = jacrev(lambda given: networks[0](given)[0][-1, 0, 0])(x)
    given = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(networks[0](given)[0][-1, 0, 0], given)
    close(jacobian.detach(), expected)


def test_the_same_seed_draws_the_same_weights() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        first = RNN("lstm", D, H, 2)
        torch.manual_seed(5)
        second = RNN("lstm", D, H, 2)
        third = RNN("lstm", D, H, 2)
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))
    assert not torch.equal(first.layers["0"].W, third.layers["0"].W)  # type: ignore[arg-type]


# What it says to wrong arguments.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cell": "lstn"}, "Unknown cell 'lstn'. Did you mean 'lstm'?"),
        ({"cell": "quagga"}, "Unknown cell 'quagga'. Available: "),
        ({"forget_bios": 2.0}, "Unknown option of cell 'lstm' 'forget_bios'. Did you mean 'forget_bias'?"),
        ({"forget_bias": "high"}, "LSTM: option 'forget_bias' is 'high', but it must be of type float."),
        ({"forget_bias": True}, "LSTM: option 'forget_bias' is True, but it must be of type float."),
        ({"cell": "cifg", "peepholes": 1}, "CIFG: option 'peepholes' is 1, but it must be of type bool."),
        ({"cell": "attention", "score": "dott"}, "AttentionLSTM: Unknown value of 'score' 'dott'. Did you mean 'dot'?"),
        ({"cell": "attention", "window": 0}, "AttentionLSTM: option 'window' is 0, but it must be at least 1."),
        ({"backend": "eagr"}, "Unknown backend 'eagr'. Did you mean 'eager'? Available: auto, "),
        ({"input_size": 0}, "RNN: input_size is 0, but it must be at least 1."),
        ({"hidden_size": -3}, "RNN: hidden_size is -3, but it must be at least 1."),
        ({"num_layers": 0}, "RNN: num_layers is 0, but it must be at least 1."),
        ({"dropout": 2}, "RNN: dropout is 2, but it is a probability between 0 and 1."),
        ({"dropout": -0.1}, "RNN: dropout is -0.1, but it is a probability"),
        ({"dropout": float("nan")}, "RNN: dropout is nan, but it is a probability"),
        ({"dropout": True}, "RNN: dropout is True, but it is a probability"),
        ({"hidden_size": 4.0}, "RNN: hidden_size is 4.0 of type float, but it must be an integer."),
        ({"num_layers": True}, "RNN: num_layers is True of type bool, but it must be an integer."),
        ({"bias": "False"}, "RNN: bias is 'False' of type str, but it must be True or False."),
        ({"bias": 0}, "RNN: bias is 0 of type int, but it must be True or False."),
        ({"batch_first": "False"}, "RNN: batch_first is 'False' of type str"),
        ({"bidirectional": None}, "RNN: bidirectional is None of type NoneType"),
        ({"proj_size": 2}, "RNN: proj_size=2 is not available for lstm: no cell projects its output yet; put a Linear behind"),
        (
            {"nonlinearity": "relu"},
            "RNN: nonlinearity='relu' is not available for lstm: the activation is part of a cell's equations",
        ),
        ({"cell": CELLS.build("cifg"), "peepholes": True}, "RNN: give peepholes to the Cell itself"),
    ],
    ids=str,
)
def test_wrong_construction(arguments: dict[str, Any], message: str) -> None:
    given = {"cell": "lstm", "input_size": D, "hidden_size": H} | arguments
    with pytest.raises(UserError, match=f"^{re.escape(message)}"):
        RNN(given.pop("cell"), **given)


@pytest.mark.parametrize(
    ("x", "batch_first", "message"),
    [
        (normal(T, B, D + 1), False, "the input has shape (6, 4, 4), but it must be (T, B, D) or (T, D) with D = 3."),
        (normal(T, B, D + 1), True, "the input has shape (6, 4, 4), but it must be (B, T, D) or (T, D) with D = 3."),
        (normal(D), False, "the input has shape (3,), but"),
        (normal(2, T, B, D), False, "the input has shape (2, 6, 4, 3), but"),
        (torch.zeros(0, B, D), False, "the input of shape (0, 4, 3) has no steps"),
        (normal(T, B, D).numpy(), False, "the input is of type ndarray, but it must be a tensor or a PackedSequence."),
    ],
    ids=["D", "D batch first", "1 axis", "4 axes", "no steps", "numpy"],
)
def test_wrong_input(x: Any, batch_first: bool, message: str) -> None:
    rnn = Variant("lstm", {}).rnn(D, H, batch_first=batch_first)
    for call in (rnn, rnn.trace):
        with pytest.raises(UserError, match=f"^RNN: {re.escape(message)}"):
            call(x)


def zeros(*shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.zeros(shape, dtype=torch.float64) for shape in shapes)


@pytest.mark.parametrize(
    ("state", "shapes"),
    [
        (zeros((2, B, H)), "[(2, 4, 5)]"),
        (zeros((2, B, H), (2, B, H), (2, B, H)), "[(2, 4, 5), (2, 4, 5), (2, 4, 5)]"),
        (zeros((2, B, H), (1, B, H)), "[(2, 4, 5), (1, 4, 5)]"),
        (zeros((2, B, H), (2, 1, H)), "[(2, 4, 5), (2, 1, 5)]"),
        (zeros((B, 2, H), (B, 2, H)), "[(4, 2, 5), (4, 2, 5)]"),
        (torch.zeros(2, B, H), "[(2, 4, 5)]"),
        ((), "[]"),
    ],
    ids=["one part", "three parts", "layers", "rows", "batch first", "a tensor", "nothing"],
)
def test_wrong_state(state: Any, shapes: str) -> None:
    rnn = Variant("lstm", {}).rnn(D, H, num_layers=2, batch_first=True)
    message = f"RNN: the state has shapes {shapes}, but it must be h, c of shape (2, 4, 5) each."
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        rnn(normal(B, T, D), state)


@pytest.mark.parametrize(
    "lengths",
    [[4, 6, 1], [4, 6, 1, 3, 2], [4, 6, 0, 3], [4, 7, 1, 3], [-1, 6, 1, 3], [4.0, 6.0, 1.0, 3.0], [[4, 6, 1, 3]]],
    ids=str,
)
def test_wrong_lengths(lengths: Any) -> None:
    message = f"lengths must be 4 integers from 1 to 6, but they are {lengths}."
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        Variant("lstm", {}).rnn(D, H)(normal(T, B, D), None, torch.tensor(lengths))


def test_lengths_are_no_mask() -> None:
    with pytest.raises(UserError, match="lengths must be 4 integers from 1 to 6"):
        Variant("lstm", {}).rnn(D, H)(normal(T, B, D), None, torch.ones(B, dtype=torch.bool))


def test_lengths_may_be_a_list() -> None:
    """As a list forward has always taken them; CPU lengths beside a GPU input go the same way."""
    rnn = Variant("lstm", {}).rnn(D, H, bidirectional=True)
    x = normal(T, B, D)
    close(flat(rnn(x, None, LENGTHS.tolist())), flat(rnn(x, None, LENGTHS)), EXACT)  # type: ignore[arg-type]
    rnn.recording = True
    rnn(x, None, LENGTHS.tolist())  # type: ignore[arg-type]
    assert all(isinstance(lengths, Tensor) for _, _, lengths in rnn.replayed())
    traces, expected = rnn.trace(x, None, LENGTHS.tolist())[2], rnn.trace(x, None, LENGTHS)[2]  # type: ignore[arg-type]
    close(traces["0_reverse"].gates, expected["0_reverse"].gates, EXACT)


def test_wrong_state_of_a_single_sequence() -> None:
    message = "RNN: the state has shapes [(1, 4), (1, 4)], but it must be h, c of shape (1, 5) each."
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        Variant("lstm", {}).rnn(D, H)(normal(T, D), zeros((1, 4), (1, 4)))


def test_construction_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="gatelab"):
        Variant("lstm", {}).rnn(D, H)(normal(T, B, D))
    assert not caplog.records
