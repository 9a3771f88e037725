"""Random equations: what a step keeps for its adjoint, and what the adjoint computes again, is right for any graph."""

import random
from collections.abc import Callable

import pytest
import torch
from kernels.one_line import NAMES, Compiled, Line, in_torch
from tolerances import FLOAT64
from torch import Tensor

F = torch.nn.functional
ONE: list[Callable[[Tensor], Tensor]] = [
    *(torch.sigmoid, torch.tanh, torch.sin, torch.cos, torch.atan, torch.erf, torch.relu, torch.abs),
    *(F.softplus, F.silu, F.logsigmoid, F.hardtanh),
    lambda x: torch.exp(-x * x),
    lambda x: x.clamp(-1, 0.7),
    lambda x: 1 - x,
    lambda x: torch.log1p(x * x),
    lambda x: torch.expm1(x.clamp(max=1)),
    lambda x: torch.sqrt(1 + x * x),
    lambda x: torch.rsqrt(2 + x * x),
    lambda x: (1 + x * x) ** 0.3,
    lambda x: torch.rsub(x, 1.0, alpha=0.5),
    lambda x: x.detach(),
]
TWO: list[Callable[[Tensor, Tensor], Tensor]] = [
    *(torch.add, torch.sub, torch.mul, torch.maximum, torch.minimum),
    lambda x, y: x / (1 + y * y),
    lambda x, y: torch.where((x > y) & ~(y >= 0.2), x, y * 0.5),
    lambda x, y: torch.lerp(x, y, 0.3),
    lambda x, y: torch.rsub(x, y, alpha=2.0),
    lambda x, y: torch.sigmoid(x) * y,
    lambda x, y: torch.tanh(x) * torch.sigmoid(y),
]


def _line(seed: int) -> Line:
    """Three to twelve calls on what came before, two of which enter the result."""
    draw = random.Random(seed)
    drawn = range(draw.randint(3, 12))
    program = [(draw.choice(ONE), draw.choice(TWO), draw.random(), draw.random(), draw.random()) for _ in drawn]
    last = draw.random(), draw.random()

    def line(*operands: Tensor) -> Tensor:
        values = list(operands)
        for one, two, which, first, second in program:
            x, y = (values[int(place * len(values))] for place in (first, second))
            values.append(one(x) if which < 0.5 else two(x, y))
        x, y = (values[int(place * len(values))] for place in last)
        return torch.tanh(values[-1]) + 0.3 * x * torch.sigmoid(y)

    return line


@pytest.mark.slow
def test_random_equations_and_their_derivatives() -> None:
    lines = [_line(seed) for seed in range(100)]
    compiled = Compiled(lines, torch.float64)
    values = torch.randn(5, 1024, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for seed, line in enumerate(lines):
        for name, ours, theirs in zip(("value", *NAMES, "s"), compiled(seed, values), in_torch(line, values), strict=True):
            apart = (ours - theirs).abs() / (1 + theirs.abs())
            assert apart.max() < 100 * FLOAT64, (seed, name, apart.max())
