"""Weighted average of all earlier values with exponential decay: the time mixing of RWKV-4."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor, exp, maximum, minimum, sigmoid, where

from gatelab.cells import Cell, Cycle, Ramp


@dataclass(frozen=True)
class RWKV4(Cell):
    """Average of all values so far, weighted by exp(key) and a decay of each unit, shown by a gate; wkv of RWKV-4.

    ```
    k = W_k x + b_k        v = W_v x + b_v        r = sigmoid(W_r x + b_r)        w = exp(decay)
    h = r . (A + exp(u + k) v) / (B + exp(u + k))      the current value has a bonus u
    A = exp(-w) . A + exp(k) . v
    B = exp(-w) . B + exp(k)

    with A = num exp(max), B = den exp(max), so that no exponent is above 0:

    top = maximum(max, u + k)        e = exp(max - top)        g = exp(u + k - top)
    h   = r . (e . num + g . v) / (e . den + g)
    max = maximum(max - w, k)
    num = exp(max(t-1) - w - max) . num + exp(k - max) . v
    den = exp(max(t-1) - w - max) . den + exp(k - max)
    ```

    decay starts at -5 + 8 (j / (H-1))^e in unit j, e from 0.7 in the first layer to 2 in the last, and u at log 0.3 + 0, 0.5,
    -0.5, ...

    From the zero state h / r is an average of all v so far, with weights above 0.

    Bounds: |h| is not bounded, as v is not.

    Cost: 3 (D + 1) H + 2 H parameters, 6 D H FLOPs a step.

    Differs from the paper: k, v and r read x(t) alone, without the token shift (their mix with x(t-1)); no output projection;
    the maps have a bias and start as in all cells. A state is empty where den = 0; the authors' code starts the maximum from
    -1e38.

    References:
        Peng et al. 2023, EMNLP Findings (arXiv 2305.13048).
    """

    family = "gates of the input alone"
    gates = {"k": "key", "v": "value", "r": "receptance"}
    sources = {"k": "input", "v": "input", "r": "input"}
    state = ("h", "num", "den", "max")
    vectors = ("decay", "u")
    retention = "effective"
    initial = {"decay": Ramp(-5.0, 3.0, 0.7, 2.0), "u": Cycle(tuple(math.log(0.3) + shift for shift in (0.0, 0.5, -0.5)))}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        r, w, now = sigmoid(a.r), exp(p.decay), p.u + a.k
        most = where(s.den == 0, minimum(now, a.k + w), s.max)  # of an empty state, any that no exponent exceeds
        top = maximum(most, now)
        e, g = exp(most - top), exp(now - top)
        h = r * (e * s.num + g * a.v) / (e * s.den + g)
        later = maximum(most - w, a.k)
        old, new = exp(most - w - later), exp(a.k - later)
        state = {"h": h, "num": old * s.num + new * a.v, "den": old * s.den + new, "max": later}
        return state, {"receptance": r, "effective": old}
