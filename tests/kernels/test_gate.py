"""In front of every backend: tensors that do not fit are refused by name, those that cannot be read go to the eager loop."""

import gc
from collections.abc import Callable
from typing import Any

import pytest
import torch
from cells.variants import Variant, each_default, normal
from tolerances import BFLOAT16, FLOAT64
from torch import Tensor, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils import parametrizations, parametrize, prune
from torch.utils._python_dispatch import TorchDispatchMode

from gatelab.kernels import serving
from gatelab.kernels._gate import check
from gatelab.kernels._scan import Weights
from gatelab.kernels.cpu._call import POOL
from gatelab.models import RNN
from gatelab.registry import UserError

T, B, D, H = 6, 3, 3, 5
each_backend = pytest.mark.parametrize("backend", ["cpu", "eager"])


def network(backend: str = "auto", name: str = "lstm", **settings: Any) -> RNN:
    return Variant(name, {}).rnn(D, H, backend=backend, **settings)


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=FLOAT64, atol=FLOAT64)


def call(rnn: RNN, x: Tensor | None = None, **arguments: Any) -> Tensor:
    return rnn(normal(T, B, D) if x is None else x, **arguments)[0]


# ------------------------------------------------------------------------------------------------- what does not fit


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
    layer = rnn.layers["0"]
    value = change(layer.R.detach())
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
    x, s0 = normal(1, T, B, D), (normal(1, B, H),) * len(rnn.cell.state)
    check(rnn.cell, layer.weights(), x, s0)
    for name in layer.shapes:
        for change in (lambda value: None, lambda value: value[..., :-1]):
            given = layer.weights()
            products = {key: getattr(given, key) for key in ("W", "R", "b")}
            p, memory = dict(given.p), dict(given.memory)
            if name in products:
                if name == "b" and change(products["b"]) is None:
                    continue  # a module without biases
                products[name] = change(products[name])
            else:
                where, key = (memory, name.removeprefix("memory_")) if name.startswith("memory_") else (p, name)
                value = change(where.pop(key))
                where |= {} if value is None else {key: value}
            with pytest.raises(UserError, match=f"The weight {name} (is missing|has shape)"):
                check(rnn.cell, Weights(**products, p=p, memory=memory), x, s0)


@pytest.mark.parametrize("lengths", [[0, 1, 2], [1, 2, T + 1], [1.0, 2.0, 3.0], [True, True, True], [1, 2], [[1, 2, 3]]], ids=str)
def test_lengths_outside_of_the_sequence_are_refused(lengths: Any) -> None:
    for backend in ("cpu", "eager"):
        with pytest.raises(UserError, match=f"lengths must be {B} integers from 1 to {T}, but they are"):
            call(network(backend), lengths=torch.tensor(lengths))


# ------------------------------------------------------------------------------------- weights under their names


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
    wanted = torch.autograd.grad(plain(x)[0].square().sum(), [plain.layers["0"].W, plain.layers["0"].R])
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
    (total,) = torch.autograd.grad(rnn(x)[0].sum(), [rnn.layers["0"].R])
    apart = network(backend, num_layers=2)
    apart.load_state_dict(rnn.state_dict())
    parts = torch.autograd.grad(apart(x)[0].sum(), [apart.layers[name].R for name in ("0", "1")])
    close(total, parts[0] + parts[1])


def test_a_reset_draws_the_originals_again_or_says_why_not() -> None:
    rnn = network()
    parametrizations.weight_norm(rnn.layers["0"], "R")
    before = rnn.layers["0"].R.detach().clone()
    rnn.reset_parameters()
    assert rnn.layers["0"].R.abs().max() <= H**-0.5
    assert not torch.equal(rnn.layers["0"].R, before)
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


# --------------------------------------------------------------------------- what stands for something else than its memory


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
    value, tangent = torch.func.jvp(lambda one: auto(one)[0], (x,), (direction,))
    jacobian = torch.autograd.functional.jacobian(lambda one: truth(one)[0], x)
    close(value, truth(x)[0])
    expected = (jacobian * direction).sum((-3, -2, -1))
    close(tangent, expected)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, direction)
        close(torch.autograd.forward_ad.unpack_dual(auto(dual)[0]).tangent, expected)
    close(torch.autograd.functional.jacobian(lambda one: auto(one)[0], x), jacobian)
    close(torch.autograd.functional.jacobian(lambda one: auto(one)[0], x, vectorize=True), jacobian)
    close(torch.func.jacrev(lambda one: auto(one)[0])(x), jacobian)
    close(torch.func.jacfwd(lambda one: auto(one)[0])(x), jacobian)
    close(torch.autograd.functional.jvp(lambda one: auto(one)[0], x, direction)[1], expected)


@each_default
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
        penalty = sum(value.square().sum() for value in first if value is not None)
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
    traced = torch.jit.trace(auto, (x,))
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
    zeros = torch._efficientzerotensor((1, B, H), dtype=torch.float64)
    close(rnn(normal(T, B, D), (zeros, zeros))[0], call(truth))


def test_what_hooks_put_in_place_of_tensors_is_refused() -> None:
    """Torch looks at what hooks on gradients give back, and the gate at what hooks on saved tensors do."""
    for replaced, message in ((Tensor.float, "type"), (lambda gradient: gradient[:, :1], "size"), (lambda g: g.to("meta"), "")):
        output = call(network("cpu"))
        node = output.grad_fn.next_functions[0][0]
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


# ------------------------------------------------------------------------------------------------- what is handed out


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
    assert all(not parameter.grad.any() for parameter in rnn.parameters())
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
