"""Numbers at the edge, for every cell: large inputs, long sequences, and a row of NaN among others."""

from collections.abc import Callable

import pytest
import torch
from cells.variants import Variant, each_default, normal, random_state
from kernels.test_cpu import poisoned  # noqa: F401 - `poisoned` is for every test here
from torch import Tensor

pytestmark = pytest.mark.slow  # compiles a library for every cell

# float32 has numbers up to 3e38; what is larger than this in float64 may be infinite there, by a product of intermediate results.
SAFE = 1e18
each_backend = pytest.mark.parametrize("backend", ["eager", "cpu"])


def results(variant: Variant, backend: str, x: Tensor) -> dict[str, Tensor]:
    """Outputs, last states, and the gradients of their sum by the input, the initial state and the weights."""
    B, D, H = x.shape[1], x.shape[2], 5
    rnn = variant.rnn(D, H, scale=0.5, backend=backend, dtype=x.dtype)
    given = x.clone().requires_grad_()
    state = tuple(part.to(x.dtype).requires_grad_() for part in random_state(rnn, B))
    output, last = rnn(given, state)
    named = {"x": given, **dict(zip((f"s0 {name}" for name in rnn.cell.state), state, strict=True)), **dict(rnn.named_parameters())}
    loss = output.sum() + sum(part.sum() for part in last)
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True, materialize_grads=True)
    values = {"output": output, **dict(zip((f"last {name}" for name in rnn.cell.state), last, strict=True))}
    return {name: value.detach() for name, value in values.items()} | dict(
        zip((f"by {name}" for name in named), found, strict=True)
    )


def assert_finite(found: dict[str, Tensor], reference: Callable[[], dict[str, Tensor]], grows: bool = False) -> None:
    """Everything, or what is finite in the reference, the same in float64. It is computed only where something is not.

    A state that grows leaves the range of float32, if it has the time.
    """
    if all(value.isfinite().all() for value in found.values()):
        return
    expected = reference()
    if grows and not all((value.abs() < SAFE).all() for value in expected.values()):
        expected = {"output": expected["output"]}  # derivatives come through states that float32 does not hold
    for name, value in expected.items():
        assert value.isfinite().any(), name
        defined = value.isfinite() & (value.abs() < SAFE)
        assert found[name][defined].isfinite().all(), name


@each_default
@each_backend
def test_large_inputs_are_finite_where_the_equations_are(variant: Variant, backend: str) -> None:
    x = 1e4 * normal(12, 3, 4).sign()
    assert_finite(results(variant, backend, x.float()), lambda: results(variant, "eager", x))


@each_default
def test_long_sequences_are_finite_where_the_equations_are(variant: Variant) -> None:
    """In the compiled loop; 100,000 steps of the eager one would take seconds, and the two are compared elsewhere."""
    x = normal(100_000, 1, 2)
    grows = "|h| is not bounded" in (type(variant.cell()).__doc__ or "")
    assert_finite(results(variant, "cpu", x.float()), lambda: results(variant, "cpu", x), grows)


@each_default
@each_backend
def test_nan_stays_in_its_row(variant: Variant, backend: str) -> None:
    """Of the others, no bit changes: outputs, last states, and gradients by the input and the initial state."""
    x = normal(7, 5, 4).float()
    broken, others = x.clone(), [0, 1, 3, 4]
    broken[3, 2] = torch.nan
    found, expected = results(variant, backend, broken), results(variant, backend, x)
    for name, value in found.items():
        if name in ("output", "by x") or name.startswith(("last ", "by s0 ")):
            assert torch.equal(value[:, others], expected[name][:, others]), name
    assert found["output"][3:, 2].isnan().any()
