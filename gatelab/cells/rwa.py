"""Recurrent weighted average: the state is an average over all earlier steps."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, exp, maximum, tanh, where

from gatelab.cells import Cell


@dataclass(frozen=True)
class RWA(Cell):
    """Recurrent weighted average: each step has a weight, and the state is the average of all steps so far.

    ```
    u = W_u x + b_u
    g = tanh(W_g x + R_g h + b_g)
    a = W_a x + R_a h + b_a
    m = maximum(m(t-1), a)                  stabiliser; a where d(t-1) = 0, in the first step
    i = exp(a - m)                          f = exp(m(t-1) - m)
    d = f . d + i                           sum of all weights, relative to the largest
    s = i / d                               share of this step
    y = (1 - s) . y + s . u . g             the average
    h = tanh(y)
    ```

    Bounds: |h| < 1. Cost: 3HD + 2H^2 + 3H parameters.

    Differs from the paper: the state of the first step is 0, where the paper learns it; b_a cancels in n / d and is kept because
    every pre-activation has a bias. The paper carries the numerator y . d in place of the average; 1 - s is returned as the gate
    `kept`.

    References:
        Ostmeyer & Cowell 2017, arXiv 1703.01253; jostmey/rwa.
    """

    family = "exponential gates"
    gates = {"u": "block_input", "g": "context", "a": "weight"}
    state = ("h", "y", "d", "m")
    sources = {"u": "input"}
    retention = "kept"

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        old = where(s.d == 0, a.a, s.m)
        m = maximum(old, a.a)
        i, f = exp(a.a - m), exp(old - m)
        d = f * abs(s.d) + i  # which is not negative but in a state that is given
        share = i / d
        kept = 1 - share
        y = kept * s.y + share * a.u * tanh(a.g)
        return {"h": tanh(y), "y": y, "d": d, "m": m}, {"share": share, "kept": kept}
