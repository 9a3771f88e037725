"""Recurrent discounted attention: a weighted average that can forget."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, exp, maximum, sigmoid, tanh, where
from torch.nn.functional import logsigmoid

from gatelab.cells import Cell


@dataclass(frozen=True)
class RDA(Cell):
    """Recurrent discounted attention: `rwa` with a gate that discounts what the average holds.

    ```
    u = W_u x + b_u
    g = tanh(W_g x + R_g h + b_g)
    q = sigmoid(W_q x + R_q h + b_q)        discount factor
    a = W_a x + R_a h + b_a
    m = maximum(log q + m(t-1), a)          stabiliser; a where d(t-1) = 0, in the first step
    i = exp(a - m)                          f = exp(log q + m(t-1) - m)
    n = f . n + i . u . g
    d = f . d + i
    h = tanh(n / d)
    ```

    Bounds: |h| < 1. Cost: 4HD + 3H^2 + 4H parameters.

    Differs from the paper: its exponential attention with a tanh output, the form of the implementation by indiejoseph, where the
    equations were read; there nothing stabilises the sums, which does not change them. In the statistics `effective` is f.
    `slstm` has the same sums, with an output gate in place of the tanh.

    References:
        Maginnis & Richemond 2017, arXiv 1705.08480.
    """

    family = "exponential gates"
    gates = {"u": "block_input", "g": "context", "q": "discount", "a": "weight"}
    state = ("h", "n", "d", "m")
    sources = {"u": "input"}
    retention = "effective"

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        old = where(s.d == 0, a.a, logsigmoid(a.q) + s.m)
        m = maximum(old, a.a)
        i, f = exp(a.a - m), exp(old - m)
        n, d = f * s.n + i * a.u * tanh(a.g), f * s.d + i
        gates = {"discount": sigmoid(a.q), "weight": i, "effective": f}
        return {"h": tanh(n / d), "n": n, "d": d, "m": m}, gates
