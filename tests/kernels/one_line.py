"""Cells of one line each, all in one library: what C and torch make of the same numbers, values and derivatives."""

import ctypes
import functools
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import gatelab.kernels.cpu as backend
from gatelab.cells import Cell
from gatelab.kernels._operators import OPERATORS
from gatelab.kernels._trace import trace
from gatelab.kernels.cpu import _printer, build

NAMES = ("x", "y", "z")
COUNT = 1024

Line = Callable[..., Tensor]  # from the operands x, y, z and the state s to the new state

RUN = """
void run_{number}(const real *a, const real *s, const real *ds, real *h, real *da, real *earlier, long n) {{
  for (long i = 0; i < n; i += LANES) {{
    V of_a[3], d_a[3], of_s = *(const V *)(s + i), d_s = *(const V *)(ds + i), after, before, kept[64];
    for (int g = 0; g < 3; g++) of_a[g] = *(const V *)(a + g * n + i);
    step_{number}(of_a, &of_s, 0, &after, kept);
    adjoint_{number}(kept, &of_s, 0, &d_s, 0, d_a, &before, 0, 0);
    *(V *)(h + i) = after;
    *(V *)(earlier + i) = before;
    for (int g = 0; g < 3; g++) *(V *)(da + g * n + i) = d_a[g];
  }}
}}
"""


@dataclass(frozen=True)
class OneLine(Cell):
    """A state that is the result of one line."""

    line: Any = None
    gates = dict.fromkeys(NAMES, "operand")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"h": self.line(a.x, a.y, a.z, s.h)}, {}


class Compiled:
    """Lines as C.

    Args:
        lines: what to compile.
        dtype: the number format.
    """

    def __init__(self, lines: Sequence[Line], dtype: torch.dtype) -> None:
        text = ["#define DOUBLE" if dtype == torch.float64 else "", (Path(backend.__file__).parent / "vector.c").read_text()]
        for number, line in enumerate(lines):
            cell = OneLine(line)
            equations = trace(cell, OPERATORS, dtype)
            for name, function in (("step", _printer._step), ("adjoint", _printer._adjoint)):
                text.append(function(cell, equations, list(NAMES)).replace(f"void {name}(", f"void {name}_{number}("))
            text.append(RUN.format(number=number))
        self._library = build.load("\n".join(text), "lines", ("-O1",))

    def __call__(self, number: int, values: Tensor) -> tuple[Tensor, ...]:
        """The new state and the derivatives by x, y, z and s of a line."""
        n = values.shape[1]
        block = torch.empty(11 * n + 64, dtype=values.dtype)
        offset = -block.data_ptr() % 64 // values.element_size()
        block = block[offset : offset + 11 * n].view(11, n)
        block[:5] = values
        pointers = [ctypes.c_void_p(block[row].data_ptr()) for row in (0, 3, 4, 5, 6, 9)]
        getattr(self._library, f"run_{number}")(*pointers, ctypes.c_long(n))
        return tuple(block[5:10].clone().unbind(0))


def in_torch(line: Line, values: Tensor) -> tuple[Tensor, ...]:
    """The same by autograd."""
    inputs = [row.clone().requires_grad_() for row in values[:4]]
    h = line(*inputs)
    if not h.requires_grad:
        return (h, *(torch.zeros_like(h) for _ in inputs))
    return (h.detach(), *torch.autograd.grad(h, inputs, values[4], allow_unused=True, materialize_grads=True))


@functools.cache
def numbers(dtype: torch.dtype) -> Tensor:
    """(5, n): x, y, z, the state and the cotangent of the new one. x and y meet in all pairs of special values."""
    info = torch.finfo(dtype)
    special = [0.0, 1.0, 0.5, 2.0, 1e-3, 20.0, 200.0, math.inf, info.tiny, info.tiny * info.eps, info.max, 1e30]
    special += [-value for value in special] + [math.nan]
    pairs = torch.tensor(list(itertools.product(special, special)), dtype=torch.float64).T
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(2, COUNT - pairs.shape[1], generator=generator, dtype=torch.float64) * 3
    others = torch.randn(3, COUNT, generator=generator, dtype=torch.float64)
    others[0, : 4 * len(special)] = torch.tensor(special, dtype=torch.float64).repeat(4)
    return torch.cat([torch.cat([pairs, random], 1), others]).to(dtype)


def agree(what: str, ours: tuple[Tensor, ...], theirs: tuple[Tensor, ...], values: Tensor) -> None:
    """Sixteen roundings of the number and of the cotangent (1 - y * y cancels), or less than the least normal number."""
    for name, left, right in zip(("value", *NAMES, "s"), ours, theirs, strict=True):
        info = torch.finfo(left.dtype)
        bound = 16 * info.eps * (right.abs() + values[4].abs()) + info.tiny
        wrong = ~((left - right).abs() <= bound) & (left != right) & ~(left.isnan() & right.isnan())
        at = wrong.nonzero().flatten()[:3]
        assert not wrong.any(), f"{what}, {name}: {wrong.sum()} differ, at {values[:, at].T.tolist()}: {left[at]}, not {right[at]}"
