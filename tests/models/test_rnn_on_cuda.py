"""RNN on a GPU: the numbers of the eager loop on the CPU, and one sentence where tensors are on different devices."""

import copy
import warnings
from typing import Any

import pytest
import torch
from cells.variants import Variant, each_default, normal, random_state
from tolerances import FLOAT32_LONG, FLOAT64
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gatelab.errors import UserError
from gatelab.models import RNN

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason=f"torch {torch.__version__} finds no CUDA device here")

CUDA = "cuda"
T, B, D, H = 9, 5, 3, 7
LENGTHS = torch.tensor([9, 1, 4, 9, 2])
# One forward and backward pass of ten steps whose products are rounded to 8 or 11 bits, against float32.
REDUCED = {torch.bfloat16: 8e-2, torch.float16: 1e-2}


def pair(variant: Variant | str = "lstm", dtype: torch.dtype = torch.float64, **settings: Any) -> tuple[RNN, RNN]:
    """The same network on the CPU, eager, and on the GPU, as a user would move it."""
    of = Variant(variant, {}) if isinstance(variant, str) else variant
    here = of.rnn(D, H, **settings).to(dtype)
    there = copy.deepcopy(here).to(CUDA)
    there.backend = "auto"
    return here, there


def results(rnn: RNN, x: Tensor, **arguments: Any) -> dict[str, Tensor]:
    """Output, last state and all gradients of a weighted sum of them, on the CPU."""
    rnn.zero_grad()
    x = x.detach().clone().requires_grad_()
    output, last = rnn(x, **arguments)
    weights = normal(*output.shape, seed=3, dtype=output.dtype).to(output.device)
    ((output * weights).sum() + sum(part.sum() for part in last)).backward()
    found = {"output": output, "x": x.grad} | dict(zip(rnn.cell.state, last, strict=True))
    found |= {name: parameter.grad for name, parameter in rnn.named_parameters()}
    return {name: value.detach().cpu() for name, value in found.items() if value is not None}


def assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(
            found[name], value, rtol=tolerance, atol=tolerance, check_dtype=False, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """cuDNN rounds factors of float32 to tf32 unless it is told not to."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


# The same numbers.


@each_default
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["f64", "f32"])
@pytest.mark.parametrize("ends", [None, LENGTHS], ids=["all", "lengths"])
def test_every_cell(variant: Variant, dtype: torch.dtype, ends: Tensor | None) -> None:
    here, there = pair(variant, dtype)
    x, state = normal(T, B, D, dtype=dtype), tuple(part.to(dtype) for part in random_state(here, B))
    expected = results(here, x, hx=state, lengths=ends)
    found = results(there, x.to(CUDA), hx=tuple(part.to(CUDA) for part in state), lengths=None if ends is None else ends.to(CUDA))
    assert_close(found, expected, FLOAT64 if dtype == torch.float64 else FLOAT32_LONG)


@pytest.mark.parametrize("name", ["lstm", "gru", "attention"])
def test_stacks_directions_and_resets(name: str) -> None:
    here, there = pair(name, num_layers=2, bidirectional=True, batch_first=True)
    resets = torch.rand(B, T, generator=torch.Generator().manual_seed(2)) < 0.3
    expected = results(here, normal(B, T, D), lengths=LENGTHS, resets=resets)
    for mask in (resets, resets.to(CUDA)):
        found = results(there, normal(B, T, D).to(CUDA), lengths=LENGTHS, resets=mask)
        assert_close(found, expected, FLOAT64)


def test_lengths_from_anywhere_are_the_same() -> None:
    _, there = pair()
    x = normal(T, B, D).to(CUDA)
    expected = results(there, x, lengths=LENGTHS.to(CUDA))
    for given in (LENGTHS, LENGTHS.tolist(), LENGTHS.to(CUDA, torch.int32)):
        assert_close(results(there, x, lengths=given), expected, 0.0)


def test_packed_sequences() -> None:
    here, there = pair()
    x = normal(T, B, D)
    packed = pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
    expected, last = here(packed)
    found, final = there(packed.to(CUDA))  # type: ignore[arg-type]
    assert found.data.device.type == "cuda"
    for one, other in zip((pad_packed_sequence(found)[0], *final), (pad_packed_sequence(expected)[0], *last), strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=FLOAT64, atol=FLOAT64)


def test_inputs_that_are_not_contiguous() -> None:
    here, there = pair()
    x = normal(D, B, 2 * T)
    expected = results(here, x[..., ::2].permute(2, 1, 0))
    for given in (x.to(CUDA)[..., ::2].permute(2, 1, 0), x[..., ::2].permute(2, 1, 0).contiguous().to(CUDA)):
        assert_close(results(there, given), expected, FLOAT64)
    alone = x[:, :1, ::2].permute(2, 1, 0).expand(T, B, D)
    assert_close(results(there, alone.to(CUDA)), results(here, alone), FLOAT64)


def test_no_rows_and_one_step() -> None:
    here, there = pair()
    for shape in ((T, 0, D), (1, B, D), (1, 1, D)):
        assert_close(results(there, normal(*shape).to(CUDA)), results(here, normal(*shape)), FLOAT64)


@pytest.mark.parametrize("dtype", list(REDUCED), ids=["bf16", "f16"])
@each_default
def test_autocast(variant: Variant, dtype: torch.dtype) -> None:
    """Output and gradients of a float32 module, with finite numbers and the formats that torch's own modules give."""
    here, there = pair(variant, torch.float32)
    with torch.no_grad():
        for one, other in zip(here.parameters(), there.parameters(), strict=True):
            one.mul_(0.3)
            other.mul_(0.3)
    x = normal(T, B, D, dtype=torch.float32)
    expected = results(here, x)
    with torch.autocast(CUDA, dtype):
        found = results(there, x.to(CUDA))
    for name, value in expected.items():
        error = (found[name].float() - value).norm() / value.norm().clamp(min=1e-3)
        assert error < REDUCED[dtype], (name, error)
    assert all(parameter.grad is None or parameter.grad.dtype == torch.float32 for parameter in there.parameters())


@pytest.mark.parametrize("dtype", list(REDUCED), ids=["bf16", "f16"])
def test_modules_in_half(dtype: torch.dtype) -> None:
    here, there = pair("lstm", torch.float32)
    x = normal(T, B, D, dtype=dtype)
    output = there.to(dtype)(x.to(CUDA))[0]
    assert output.dtype == dtype
    expected = copy.deepcopy(here).to(dtype).to(torch.float32)(x.float())[0]
    assert (output.cpu().float() - expected).norm() / expected.norm() < REDUCED[dtype]


def test_gradients_accumulate() -> None:
    here, there = pair()
    for rnn, device in ((here, "cpu"), (there, CUDA)):
        for seed in (1, 2):
            rnn(normal(T, B, D, seed=seed).to(device))[0].square().sum().backward()
    for (name, one), other in zip(here.named_parameters(), there.parameters(), strict=True):
        assert other.grad is not None
        torch.testing.assert_close(other.grad.cpu(), one.grad, rtol=FLOAT64, atol=FLOAT64, msg=name)


def test_traces_and_gradient_flow() -> None:
    here, there = pair()
    x = normal(T, B, D)
    for one, other in zip(here.trace(x)[2].values(), there.trace(x.to(CUDA))[2].values(), strict=True):
        for mine, theirs in zip(one, other, strict=True):
            for key, value in mine.items():
                torch.testing.assert_close(theirs[key].cpu(), value, rtol=FLOAT64, atol=FLOAT64)
    flows = []
    for rnn, device in ((here, "cpu"), (there, CUDA)):
        rnn.following = True
        rnn(x.to(device), lengths=LENGTHS)[0].square().sum().backward()
        rnn.following = False
        flows.append({part: value.cpu() for _, parts, _ in rnn.gradient_flow() for part, value in parts.items()})
    for part, value in flows[0].items():
        torch.testing.assert_close(flows[1][part], value, rtol=FLOAT64, atol=FLOAT64)


# As a module.


def test_weights_travel() -> None:
    here, there = pair()
    fresh = RNN("lstm", D, H, dtype=torch.float64)
    fresh.load_state_dict(there.state_dict())
    for name, value in here.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], value)
    again = RNN("lstm", D, H, device=CUDA, dtype=torch.float64)
    again.load_state_dict(here.state_dict())
    assert_close(results(again, normal(T, B, D).to(CUDA)), results(here, normal(T, B, D)), FLOAT64)


def test_seeds_give_the_same_numbers_again() -> None:
    runs = []
    for _ in range(2):
        torch.manual_seed(5)
        rnn = RNN("lstm", D, H, 2, dropout=0.5, device=CUDA)
        runs.append(results(rnn, normal(T, B, D, dtype=torch.float32).to(CUDA)))
    assert_close(runs[0], runs[1], 0.0)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_to_and_from_torch(name: str) -> None:
    _, there = pair(name)
    peer = there.to_torch()
    assert next(peer.parameters()).device.type == "cuda"
    x = normal(T, B, D).to(CUDA)
    torch.testing.assert_close(peer(x)[0], there(x)[0], rtol=FLOAT64, atol=FLOAT64)
    torch.testing.assert_close(RNN.from_torch(peer)(x)[0], peer(x)[0], rtol=FLOAT64, atol=FLOAT64)


def test_replicas_of_data_parallel() -> None:
    here, there = pair()
    x = normal(T, B, D)
    replicas = nn.parallel.replicate(there, [torch.device("cuda:0")] * 2)
    for replica in replicas:
        torch.testing.assert_close(replica(x.to(CUDA))[0].cpu(), here(x)[0], rtol=FLOAT64, atol=FLOAT64)
    torch.testing.assert_close(nn.DataParallel(there, dim=1)(x.to(CUDA))[0].cpu(), here(x)[0], rtol=FLOAT64, atol=FLOAT64)


@pytest.mark.slow
def test_under_torch_compile() -> None:
    here, there = pair("lstm", torch.float32)
    x = normal(4, B, D, dtype=torch.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about itself
        expected, found = results(here, x), results(torch.compile(there), x.to(CUDA))  # type: ignore[arg-type]
    assert_close({name.removeprefix("_orig_mod."): value for name, value in found.items()}, expected, FLOAT32_LONG)


def test_other_transformations() -> None:
    here, there = pair()
    x = normal(T, B, D)
    batched = torch.func.vmap(lambda one: there(one)[0])(torch.stack([x, 2 * x]).to(CUDA))
    torch.testing.assert_close(batched[1].cpu(), here(2 * x)[0], rtol=FLOAT64, atol=FLOAT64)
    with torch.inference_mode():
        torch.testing.assert_close(there(x.to(CUDA))[0].cpu(), here(x)[0], rtol=FLOAT64, atol=FLOAT64)
    _, tangent, *_ = torch.func.jvp(lambda one: there(one)[0], (x.to(CUDA),), (x.to(CUDA),))
    _, expected, *_ = torch.func.jvp(lambda one: here(one)[0], (x,), (x,))
    torch.testing.assert_close(tangent.cpu(), expected, rtol=FLOAT64, atol=FLOAT64)


def test_on_a_stream_of_its_own() -> None:
    here, there = pair()
    x = normal(T, B, D)
    expected, given = results(here, x), x.to(CUDA)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        found = results(there, given)
    assert_close(found, expected, FLOAT64)


# Devices that do not fit.


def test_tensors_on_different_devices_are_refused_in_one_sentence() -> None:
    here, there = pair()
    x, state = normal(T, B, D), random_state(here, B)
    with pytest.raises(
        UserError, match=r"The input is on cuda:0, but the weight W is on cpu; move one of them, as in \.to\('cpu'\)"
    ):
        here(x.to(CUDA))
    with pytest.raises(
        UserError, match=r"The input is on cpu, but the weight W is on cuda:0; move one of them, as in \.to\('cuda:0'\)"
    ):
        there(x)
    with pytest.raises(UserError, match="The initial state h is on cpu, but the weight W is on cuda:0"):
        there(x.to(CUDA), state)
    with pytest.raises(UserError, match="The restart state c is on cpu"):
        there(x.to(CUDA), resets=torch.zeros(B, T, dtype=torch.bool), restart=(state[0].to(CUDA), state[1]))
    there.layers["0"].R = nn.Parameter(there.layers["0"].R.detach().cpu())  # type: ignore[union-attr]
    with pytest.raises(UserError, match="The weight R is on cpu"):
        there(x.to(CUDA))


def test_lengths_that_do_not_fit_are_refused_wherever_they_are() -> None:
    _, there = pair()
    x = normal(T, B, D).to(CUDA)
    for bad in (torch.tensor([0, 1, 1, 1, 1]), torch.tensor([T + 1, 1, 1, 1, 1]), torch.ones(B), torch.ones(2, dtype=torch.int64)):
        for given in (bad, bad.to(CUDA)):
            with pytest.raises(UserError, match="lengths must be 5 integers from 1 to 9"):
                there(x, lengths=given)
    there(x)  # the device still answers


def test_the_compiled_loop_of_the_cpu_says_that_it_cannot() -> None:
    _, there = pair()
    there.backend = "cpu"
    with pytest.raises(UserError, match="Backend 'cpu' cannot run this: it runs on a CPU, but the tensors are on cuda"):
        there(normal(T, B, D).to(CUDA))


# What waits.


def waits(call: Any) -> list[str]:
    """The places at which the CPU waits for the device in a call, as torch names them."""
    torch.cuda.synchronize()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            call()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return [f"{one.filename}:{one.lineno}" for one in caught if "synchronizing" in str(one.message)]


def test_a_step_of_training_does_not_wait_for_the_device() -> None:
    _, there = pair(num_layers=2, dropout=0.2)
    x = normal(T, B, D).to(CUDA)

    def step(**arguments: Any) -> None:
        there(x, **arguments)[0].square().mean().backward()

    step()
    assert waits(step) == []
    resets = torch.zeros(B, T, dtype=torch.bool, device=CUDA)
    assert waits(lambda: step(resets=resets)) == []
    # Lengths on the device can only be looked at there: once a call, however many layers there are.
    there(x, lengths=LENGTHS.to(CUDA))
    assert len(waits(lambda: step(lengths=LENGTHS.to(CUDA)))) <= 2  # one is the copy in this line
