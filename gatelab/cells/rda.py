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
    d = f . d + i                           sum of the weights that are left, relative to the largest
    s = i / d                               share of this step
    y = (1 - s) . y + s . u . g             the average
    h = tanh(y)
    ```

    Bounds: |h| < 1. Cost: 4HD + 3H^2 + 4H parameters.

    Differs from the paper: its exponential attention with a tanh output, the form of the implementation by indiejoseph, where the
    equations were read; it carries the numerator y . d in place of the average, and nothing stabilises its sums, which does not
    change y. 1 - s is returned as the gate `kept`. `slstm` has the same average, with an output gate in place of the tanh.

    References:
        Maginnis & Richemond 2017, arXiv 1705.08480.
    """

    family = "exponential gates"
    gates = {"u": "block_input", "g": "context", "q": "discount", "a": "weight"}
    state = ("h", "y", "d", "m")
    sources = {"u": "input"}
    retention = "kept"

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        old = where(s.d == 0, a.a, logsigmoid(a.q) + s.m)
        m = maximum(old, a.a)
        i, f = exp(a.a - m), exp(old - m)
        d = f * abs(s.d) + i  # which is not negative but in a state that is given
        share = i / d
        kept = 1 - share
        y = kept * s.y + share * a.u * tanh(a.g)
        return {"h": tanh(y), "y": y, "d": d, "m": m}, {"discount": sigmoid(a.q), "share": share, "kept": kept}
