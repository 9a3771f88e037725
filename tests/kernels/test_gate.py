"""In front of every backend: tensors that do not fit are refused by name, those that cannot be read go to the eager loop."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from cells.variants import Variant, each_default, each_default_few_quick, normal
from kernels.small import B, D, H, T, call, close, each_backend, network
from tolerances import FLOAT64
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode

from gatelab.cells import operand_shapes
from gatelab.errors import UserError
from gatelab.kernels._gate import check
from gatelab.kernels._scan import Weights
from gatelab.models import RNN


def states(**changes: Callable[[Tensor], Any]) -> tuple[Tensor, ...]:
    change = changes.get("of", lambda value: value)
    return normal(1, B, H), change(normal(1, B, H))


@each_backend
@pytest.mark.parametrize("to", [torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.bool, torch.complex128])
def test_a_state_of_another_number_format_is_refused_with_both(backend: str, to: torch.dtype) -> None:
    word = str(to).removeprefix("torch.")
    with pytest.raises(UserError, match=rf"initial state c is {word}, but the weight W is float64\. Convert one .*torch.float64"):
        call(network(backend), hx=states(of=lambda value: value.to(to)))


@each_backend
@pytest.mark.parametrize("to", [torch.float32, torch.bfloat16, torch.int32, torch.uint8, torch.bool])
def test_an_input_of_another_number_format_is_refused_with_both(backend: str, to: torch.dtype) -> None:
    word = str(to).removeprefix("torch.")
    with pytest.raises(UserError, match=rf"The input is {word}, but the parameters are float64\. Convert one of them"):
        call(network(backend), normal(T, B, D).to(to))


@each_backend
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value.float(), "The weight R is float32, but the weight W is float64"),
        (lambda value: value.to("meta"), "The weight R is on meta, but the weight W is on cpu; move one of them"),
        (lambda value: value[:-1], r"The weight R has shape \(19, 5\), but it must be \(20, 5\)"),
        (lambda value: value.to_sparse(), "layout torch.sparse_coo, but the time loop reads dense tensors"),
        (lambda value: None, r"the weight 'R' of a layer is missing; assign a tensor of shape \(20, 5\)"),
        (lambda value: 1.0, "the weight 'R' of a layer is of type float"),
    ],
    ids=["dtype", "device", "shape", "layout", "absent", "number"],
)
def test_a_weight_that_does_not_fit_is_refused_by_name(backend: str, change: Callable[[Tensor], Any], message: str) -> None:
    rnn = network(backend)
    layer = rnn.stack()[0]
    value = change(layer.read("R").detach())
    del layer.R
    layer.R = value
    with pytest.raises(UserError, match=message):
        call(rnn)


@each_backend
def test_other_devices_and_layouts_of_the_arguments_are_refused(backend: str) -> None:
    rnn = network(backend)
    with pytest.raises(UserError, match="The input is on meta, but the weight W is on cpu"):
        call(rnn, normal(T, B, D).to("meta"), hx=states())
    with pytest.raises(UserError, match="The initial state c is on meta"):
        call(rnn, hx=states(of=lambda value: value.to("meta")))
    with pytest.raises(UserError, match=r"The input has the layout torch\.sparse_coo"):
        call(rnn, normal(T, B, D).to_sparse())
    with pytest.raises(UserError, match=r"the state has shapes \[\(1, 3, 5\), 'float'\]"):
        call(rnn, hx=(normal(1, B, H), 0.0))
    with pytest.raises(UserError, match="The input is int64, but the parameters are float64"):
        call(rnn, torch.ones(T, B, D, dtype=torch.int64))


@each_default
def test_every_weight_that_a_cell_declares_is_asked_for(variant: Variant) -> None:
    """Whatever a cell declares: leaving one out or cutting it short is a sentence with its name, and no address of nothing."""
    rnn = variant.rnn(D, H)
    layer = rnn.stack()[0]
    columns = D + rnn.cell.timed
    x, s0 = normal(1, T, B, columns), (normal(1, B, H),) * len(rnn.cell.state)
    check(rnn.cell, layer.weights(), x, s0)
    for name in operand_shapes(rnn.cell, columns, H):
        for change in (lambda value: None, lambda value: value[..., :-1]):
            given = layer.weights()
            named = given.named()
            value = change(named.pop(name))
            if name == "b" and value is None:
                continue  # a module without biases
            named |= {} if value is None else {name: value}
            with pytest.raises(UserError, match=f"The weight {name} (is missing|has shape)"):
                check(rnn.cell, Weights.of(rnn.cell, named), x, s0)


@pytest.mark.parametrize("lengths", [[0, 1, 2], [1, 2, T + 1], [1.0, 2.0, 3.0], [True, True, True], [1, 2], [[1, 2, 3]]], ids=str)
def test_lengths_outside_of_the_sequence_are_refused(lengths: Any) -> None:
    for backend in ("cpu", "eager"):
        with pytest.raises(UserError, match=f"lengths must be {B} integers from 1 to {T}, but they are"):
            call(network(backend), lengths=torch.tensor(lengths))


@pytest.fixture
def auto() -> RNN:
    return network("auto")


@pytest.fixture
def truth() -> RNN:
    return network("eager")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_vmap_over_states_inputs_and_with_lengths(auto: RNN, truth: RNN) -> None:
    x, many = normal(T, B, D), normal(4, 1, B, H)
    close(torch.vmap(lambda h: auto(x, (h, h))[0])(many), torch.stack([truth(x, (h, h))[0] for h in many]))
    inputs, lengths = normal(4, T, B, D), torch.tensor([T, 2, 4])
    close(
        torch.vmap(lambda one: auto(one, lengths=lengths)[0])(inputs),
        torch.stack([truth(one, lengths=lengths)[0] for one in inputs]),
    )
    each = torch.tensor([[T, 1, 2], [3, 4, 5]])
    close(torch.vmap(lambda ends: auto(x, lengths=ends)[0])(each), torch.stack([truth(x, lengths=ends)[0] for ends in each]))


def test_an_explicit_backend_says_that_it_cannot_be_transformed() -> None:
    rnn = network("cpu")
    with pytest.raises(UserError, match=r"Backend 'cpu' .* whose memory it can read, but torch.func or torch.vmap transforms"):
        torch.vmap(lambda one: rnn(one)[0])(normal(2, T, B, D))


@pytest.mark.filterwarnings("ignore")
def test_forward_mode_and_jacobians(auto: RNN, truth: RNN) -> None:
    x, direction = normal(4, 1, D), normal(4, 1, D, seed=3)
    value, tangent, *_ = torch.func.jvp(lambda one: auto(one)[0], (x,), (direction,))
    jacobian = torch.autograd.functional.jacobian(lambda one: truth(one)[0], x)
    close(value, truth(x)[0])
    expected = (jacobian * direction).sum((-3, -2, -1))
    close(tangent, expected)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, direction)
        unpacked: Any = torch.autograd.forward_ad.unpack_dual(auto(dual)[0])
        close(unpacked.tangent, expected)
    close(torch.autograd.functional.jacobian(lambda one: auto(one)[0], x), jacobian)
    close(torch.autograd.functional.jacobian(lambda one: auto(one)[0], x, vectorize=True), jacobian)
    close(torch.func.jacrev(lambda one: auto(one)[0])(x), jacobian)
    close(torch.func.jacfwd(lambda one: auto(one)[0])(x), jacobian)
    product: Any = torch.autograd.functional.jvp(lambda one: auto(one)[0], x, direction)
    close(product[1], expected)


@each_default_few_quick
def test_second_derivatives_are_those_of_the_eager_loop(variant: Variant) -> None:
    """With lengths, and one tensor as every part of the initial state: it must not be counted twice."""
    found = []
    for backend in ("cpu", "eager"):
        rnn = variant.rnn(D, H, backend=backend)
        x, h = normal(T, B, D).requires_grad_(), normal(1, B, H).requires_grad_()
        output, last = rnn(x, (h,) * len(rnn.cell.state), torch.tensor([T, 1, 4]))
        inputs = [x, h, *rnn.parameters()]
        loss = output.sin().sum() + last[-1].square().sum()
        first = torch.autograd.grad(loss, inputs, create_graph=True, allow_unused=True)
        penalty: Any = sum(value.square().sum() for value in first if value is not None)
        second = torch.autograd.grad(penalty, inputs, allow_unused=True)
        found.append([*first, *second])
    for ours, theirs in zip(*found, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs, rtol=100 * FLOAT64, atol=100 * FLOAT64)  # squares of sums of 50 terms


def test_batched_gradients_of_a_graph_that_was_made_without(auto: RNN, truth: RNN) -> None:
    found = []
    for rnn in (auto, truth):
        output = rnn(normal(T, B, D))[0]
        seeds = normal(7, *output.shape, seed=2)
        found.append(torch.autograd.grad(output, list(rnn.parameters()), seeds, is_grads_batched=True))
    for ours, theirs in zip(*found, strict=True):
        close(ours, theirs)


@pytest.mark.filterwarnings("ignore")
def test_captures_take_the_eager_loop(auto: RNN, truth: RNN) -> None:
    x = normal(T, B, D)
    expected = truth(x)[0]
    close(make_fx(lambda one: auto(one)[0])(x)(x), expected)
    traced: Any = torch.jit.trace(auto, (x,))
    close(traced(x + 1)[0], truth(x + 1)[0])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("strict", [False, True])
def test_an_exported_network_computes_the_same(auto: RNN, truth: RNN, strict: bool) -> None:
    x = normal(T, B, D)
    close(torch.export.export(auto, (x,), strict=strict).module()(x + 1)[0], truth(x + 1)[0])
    ends = torch.tensor([T, 2, 4])
    exported = torch.export.export(auto, (x,), {"lengths": ends}, strict=strict)
    close(exported.module()(x, lengths=ends)[0], truth(x, lengths=ends)[0])


def test_tensors_of_other_classes_take_the_eager_loop(auto: RNN, truth: RNN) -> None:
    class Named(Tensor):
        pass

    x = normal(T, B, D)
    output = auto(x.as_subclass(Named))[0]
    assert type(output) is Named
    close(output.as_subclass(Tensor), truth(x)[0])
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True) as mode:
        fake = auto(mode.from_tensor(x))[0]
    assert fake.shape == (T, B, H)
    assert type(fake) is not Tensor


def test_a_mode_that_watches_operators_sees_them(auto: RNN, truth: RNN) -> None:
    class Count(TorchDispatchMode):
        seen = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.seen += "sigmoid" in str(func)
            return func(*args, **(kwargs or {}))

    with Count() as mode:
        output = call(auto)
    assert mode.seen == 3 * T
    close(output, call(truth))


def test_lazy_negation_and_zeros_without_memory_are_read_as_what_they_are() -> None:
    rnn, truth = network("cpu"), network("eager")
    x = torch.complex(normal(T, B, D), normal(T, B, D, seed=1)).conj().imag
    assert x.is_neg()
    close(rnn(x)[0], truth(x)[0])
    zeros = torch._efficientzerotensor((1, B, H), dtype=torch.float64)  # type: ignore[attr-defined]
    close(rnn(normal(T, B, D), (zeros, zeros))[0], call(truth))


def test_what_hooks_put_in_place_of_tensors_is_refused() -> None:
    """Torch looks at what hooks on gradients give back, and the gate at what hooks on saved tensors do."""
    for replaced, message in ((Tensor.float, "type"), (lambda gradient: gradient[:, :1], "size"), (lambda g: g.to("meta"), "")):
        output = call(network("cpu"))
        assert output.grad_fn is not None
        node: Any = output.grad_fn.next_functions[0][0]
        assert type(node).__name__ == "TimeLoopBackward"
        node.register_prehook(lambda gradients, change=replaced: (change(gradients[0]), *gradients[1:]))
        with pytest.raises(RuntimeError, match=f"has changed the {message}"):
            output.sum().backward()
    for replaced, message in ((Tensor.float, "The weight .* is float32"), (lambda value: value[..., :-1], "has shape")):
        with torch.autograd.graph.saved_tensors_hooks(
            lambda value: value, lambda value, change=replaced: change(value) if value.shape == (1, 4 * H, H) else value
        ):
            output = call(network("cpu"))
        with pytest.raises(UserError, match=message):
            output.sum().backward()
