"""Recurrent weighted average: the state is an average over all earlier steps."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, exp, maximum, tanh, where

from gatelab.cells import Cell


@dataclass(frozen=True)
class RWA(Cell):
    """Recurrent weighted average: each step gets a weight, and the state is the weighted average of all steps so far.

    ```
    u = W_u x + b_u
    g = tanh(W_g x + R_g h + b_g)
    a = W_a x + R_a h + b_a
    m = maximum(m(t-1), a)                  stabiliser; a where d(t-1) = 0, in the first step
    i = exp(a - m)                          f = exp(m(t-1) - m)
    n = f . n + i . u . g
    d = f . d + i
    h = tanh(n / d)
    ```

    Bounds: |h| < 1. Cost: 3HD + 2H^2 + 3H parameters.

    Differs from the paper: the state of the first step is 0, where the paper learns it; b_a cancels in n / d and is kept because
    every pre-activation has a bias. In the statistics `effective` is f, the factor on the sums: below 1 only where the weights
    grow.

    References:
        Ostmeyer & Cowell 2017, arXiv 1703.01253; jostmey/rwa.
    """

    family = "exponential gates"
    gates = {"u": "block_input", "g": "context", "a": "weight"}
    state = ("h", "n", "d", "m")
    sources = {"u": "input"}
    retention = "effective"

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        old = where(s.d == 0, a.a, s.m)
        m = maximum(old, a.a)
        i, f = exp(a.a - m), exp(old - m)
        n, d = f * s.n + i * a.u * tanh(a.g), f * s.d + i
        return {"h": tanh(n / d), "n": n, "d": d, "m": m}, {"weight": i, "effective": f}
