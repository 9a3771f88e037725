"""What the step of a cell may be written with: the same numbers as in torch, or a refusal that names operator and line."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from kernels.one_line import Compiled, Line, OneLine, agree, in_torch, numbers
from torch import Tensor

from gatelab.kernels._operators import OPERATORS
from gatelab.kernels._trace import NotTraceableError, trace

F = torch.nn.functional


def _parts(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    f, i = torch.sigmoid(x), torch.sigmoid(y)
    return f / (f + i), i / (f + i)


def _min_lstm(x: Tensor, y: Tensor, z: Tensor, s: Tensor) -> Tensor:
    """NaN where both gates round to 0, here as there; the next one is the way to write it."""
    f, i = _parts(x, y)
    return f * s + i * z


def _min_lstm_of_logarithms(x: Tensor, y: Tensor, z: Tensor, s: Tensor) -> Tensor:
    f = torch.sigmoid(F.softplus(-y) - F.softplus(-x))
    return f * s + (1 - f) * z


def _rg_lru(x: Tensor, y: Tensor, z: Tensor, s: Tensor) -> Tensor:
    log_a = -8 * F.softplus(z) * torch.sigmoid(x)
    return torch.exp(log_a) * s + torch.sqrt(1 - torch.exp(2 * log_a)) * (torch.sigmoid(y) * z)


SERVED: dict[str, Line] = {
    "silu": lambda x, y, z, s: F.silu(x),
    "softplus": lambda x, y, z, s: F.softplus(x),
    "softplus, arguments": lambda x, y, z, s: F.softplus(x, 2.0, 5.0),
    "logsigmoid": lambda x, y, z, s: F.logsigmoid(x),
    "hardswish": lambda x, y, z, s: F.hardswish(x),
    "mish": lambda x, y, z, s: F.mish(x),
    "celu": lambda x, y, z, s: F.celu(x, 0.5),
    "softsign": lambda x, y, z, s: F.softsign(x),
    "tanhshrink": lambda x, y, z, s: F.tanhshrink(x),
    "relu6": lambda x, y, z, s: F.relu6(x),
    "threshold": lambda x, y, z, s: F.threshold(x, 0.4, 7.0),
    "lerp": lambda x, y, z, s: torch.lerp(x, y, z),
    "lerp, number": lambda x, y, z, s: torch.lerp(x, y, 0.3),
    "addcmul": lambda x, y, z, s: torch.addcmul(x, y, z, value=0.3),
    "addcdiv": lambda x, y, z, s: torch.addcdiv(x, y, z, value=0.3),
    "add, alpha": lambda x, y, z, s: torch.add(x, y, alpha=2),
    "subtract, alpha": lambda x, y, z, s: torch.subtract(x, y, alpha=2),
    "rsub, alpha": lambda x, y, z, s: torch.rsub(x, 1.0, alpha=2.0),
    "rsub of a tensor, alpha": lambda x, y, z, s: torch.rsub(x, z, alpha=2.0),
    "square": lambda x, y, z, s: x.square(),
    "clip": lambda x, y, z, s: x.clip(max=1),
    "clamp by name": lambda x, y, z, s: torch.clamp(max=0.5, input=x, min=-0.5),
    "clamp, bounds crossed": lambda x, y, z, s: x.clamp(0.7, -0.3),
    "masked_fill": lambda x, y, z, s: x.masked_fill(y > 0, -1.0),
    "where of a number": lambda x, y, z, s: torch.where(x > y, 1.0, z),
    "where of whole numbers": lambda x, y, z, s: torch.where(x > y, 1, 0) * z,
    "number to a power": lambda x, y, z, s: 2**x,
    "power": lambda x, y, z, s: x**y,
    "masks as numbers": lambda x, y, z, s: ((x > 0) | (y > 0)) * z,
    "masks compared": lambda x, y, z, s: torch.where((x > 0) == (y > 0), x, z),
    "truth of numbers": lambda x, y, z, s: torch.where(torch.logical_and(x, y) | torch.logical_not(z), x, z),
    "constants": lambda x, y, z, s: torch.maximum(x, torch.zeros_like(x)) + torch.full_like(y, 0.1),
    "zeros of a shape": lambda x, y, z, s: torch.maximum(x, x.new_zeros(x.shape)),
    "beyond float32": lambda x, y, z, s: x * 1e300,
    "sign, not differentiated": lambda x, y, z, s: x.sgn() * y,
    "straight through": lambda x, y, z, s: x + (torch.sign(x) - x).detach(),
    "a gate that is closed": lambda x, y, z, s: torch.sigmoid(y) * 1e30,
    "min_lstm": _min_lstm,
    "min_lstm of logarithms": _min_lstm_of_logarithms,
    "rg_lru": _rg_lru,
}
# Torch's kernel of the derivative and its own decomposition do not agree at NaN.
NOT_AT_NAN = ("hardswish", "celu")
# Torch adds products in one rounding where the processor can, so that less overflows.
NOT_AT_OVERFLOW = ("lerp", "add, alpha", "subtract, alpha", "addcmul", "addcdiv", "rsub of a tensor, alpha")


@pytest.fixture(scope="module", params=[torch.float32, pytest.param(torch.float64, marks=pytest.mark.slow)], ids=str)
def compiled(request: pytest.FixtureRequest) -> tuple[Compiled, torch.dtype]:
    """All lines in one library."""
    return Compiled(list(SERVED.values()), request.param), request.param


@pytest.mark.parametrize("name", SERVED)
def test_a_function_and_its_derivatives(name: str, compiled: tuple[Compiled, torch.dtype]) -> None:
    in_c, dtype = compiled
    values = numbers(dtype).clone()
    if name in NOT_AT_NAN:
        values[0].nan_to_num_(0.5, torch.inf, -torch.inf)
    if name in NOT_AT_OVERFLOW:
        values[:3].clamp_(-1e30, 1e30)
        values[:3][values[:3].abs() < 1e-5] = 0
    agree(name, in_c(list(SERVED).index(name), values), in_torch(SERVED[name], values), values)


SCALE = torch.tensor(0.5)
REFUSED: dict[str, tuple[str, Line]] = {
    "rounding mode": ("aten.div.Tensor_mode", lambda x, y, z, s: torch.div(x, y, rounding_mode="floor")),
    "bounds that are tensors": ("aten.clamp.Tensor", lambda x, y, z, s: torch.clamp(x, y, z)),
    "in place": ("aten.mul_.Tensor", lambda x, y, z, s: x.clone().mul_(y)),
    "half": ("aten._to_copy", lambda x, y, z, s: x.half().to(x.dtype) + z),
    "complex": ("argument other=1j is not a real number", lambda x, y, z, s: (x * 1j).imag),
    "sum of masks": ("result is bool", lambda x, y, z, s: ((x > 0) + (y > 0)) * z),
    "mask and a whole number": ("result is int64", lambda x, y, z, s: ((x > 0) + 1) * z),
    "a tensor from elsewhere": ("not among its arguments", lambda x, y, z, s: x * SCALE),
    "a tensor made within": ("not among its arguments", lambda x, y, z, s: x * torch.tensor(0.1)),
    "random": ("aten.rand_like", lambda x, y, z, s: x * torch.rand_like(x)),
    "running sum": ("aten.cumsum", lambda x, y, z, s: x.cumsum(-1)),
    "mean": ("aten.mean", lambda x, y, z, s: x - x.mean(-1, keepdim=True)),
    "layer norm": ("aten.native_layer_norm", lambda x, y, z, s: F.layer_norm(x, x.shape[-1:])),
    "softmax": ("aten._softmax", lambda x, y, z, s: x.softmax(-1)),
    "neighbours": ("aten.roll", lambda x, y, z, s: x + x.roll(1, -1)),
    "heads": ("aten.view", lambda x, y, z, s: x.reshape(*x.shape[:-1], -1, 1).tanh().reshape(x.shape)),
    "product": ("aten.", lambda x, y, z, s: x * (x @ y.mT) if x.dim() > 1 else x * (x @ y)),
    "branch on a value": ("branches on a value|aten.sum", lambda x, y, z, s: x if x.sum() > 0 else -x),
    "branch on the width": ("another shape", lambda x, y, z, s: x * y if x.shape[-1] > 2 else x + y),
    "branch on a great width": ("another shape", lambda x, y, z, s: x * y if x.shape[-1] > 4096 else x + y),
    "branch on dimensions": ("another shape", lambda x, y, z, s: x * y if x.dim() > 1 else x + y),
    "number from the width": ("another shape", lambda x, y, z, s: x / x.shape[-1]),
    "an exception": ("KeyError: 'no'", lambda x, y, z, s: {}["no"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_computed_otherwise_is_refused(name: str) -> None:
    expected, line = REFUSED[name]
    for dtype in (torch.float32, torch.float64):
        with pytest.raises(NotTraceableError) as caught:
            trace(OneLine(line), OPERATORS, dtype)
        assert any(text in str(caught.value) for text in expected.split("|"))


def test_a_conversion_is_refused_where_it_converts() -> None:
    def line(x: Tensor, y: Tensor, z: Tensor, s: Tensor) -> Tensor:
        return torch.sigmoid(x.double()).to(y.dtype)

    def constant(x: Tensor, y: Tensor, z: Tensor, s: Tensor) -> Tensor:
        return (x > 0) * 0.1 + z  # a tensor of float32, whatever the cell computes in

    def served(line: Callable[..., Any], dtype: torch.dtype) -> bool:
        try:
            trace(OneLine(line), OPERATORS, dtype)
        except NotTraceableError:
            return False
        return True

    assert served(line, torch.float64)
    assert not served(line, torch.float32)
    assert served(constant, torch.float32)
    assert not served(constant, torch.float64)


def test_an_argument_without_an_effect_is_refused() -> None:
    """No entry has one today; the check stands between a new operator and an argument that was not thought of."""
    entry, operator = OPERATORS[torch.ops.aten.mul.Tensor], torch.ops.aten.add.Tensor
    table = type(OPERATORS)(OPERATORS | {operator: entry})
    trace(OneLine(lambda x, y, z, s: torch.add(x, y)), table)
    with pytest.raises(NotTraceableError, match=r"aten\.add\.Tensor at .*, whose argument alpha=2 cannot be printed"):
        trace(OneLine(lambda x, y, z, s: torch.add(x, y, alpha=2)), table)
