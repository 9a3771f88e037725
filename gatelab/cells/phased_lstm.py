"""Phased LSTM: every unit opens for a short part of a period of its own."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, exp, floor, sigmoid, tanh, where

from gatelab.cells import Cell, Start, Uniform, bias_option
from gatelab.options import option


@dataclass(frozen=True)
class PhasedLSTM(Cell):
    """LSTM whose units open for a short part of a period of their own and are nearly closed for the rest.

    ```
    t = fraction(t(t-1) + dt / period)            dt: time since the step before; period = exp(v)
    q = fraction(t - shift)                       phase in the period
    k = 2 q / on           if q < on / 2          time gate: rises,
        2 - 2 q / on       if q < on              falls,
        leak q             otherwise              and leaks
    i, f = sigmoid(W x + R h(t-1) + p . c(t-1) + b)
    d = f . c(t-1) + i . tanh(W_z x + R_z h(t-1) + b_z)
    o = sigmoid(W_o x + R_o h(t-1) + p_o . d + b_o)
    h = k . o . tanh(d) + (1 - k) . h(t-1)
    c = k . d + (1 - k) . c(t-1)
    ```

    Bounds: |h| <= 1 from |h_0| <= 1.

    Cost: 4 (D + H + 1) H + 5 H parameters, 8 (D + H) H FLOPs a step.

    Differs from the paper: `on` is an option, as in the authors' code, not learned. The clock of a unit is a part of the state and
    stays within one period: v is learned in place of the period, and the shift counts periods instead of time. The paper's leak is
    0 in evaluation. Periods start uniform in their logarithm from 1 to 1,000, as in TensorFlow's PhasedLSTMCell, and forget biases
    at 2, as in the authors' code. bfloat16 is too coarse for a phase.

    References:
        Neil, Pfeiffer & Liu 2016, NeurIPS (arXiv 1610.09513), Sec. 2.
    """

    family = "delays and clocks"
    gates = {"i": "input", "f": "forget", "z": "block_input", "o": "output", "dt": "elapsed"}
    sources = {"dt": "time"}
    state = ("h", "c", "t")
    vectors = ("p_i", "p_f", "p_o", "v", "shift")
    retention = "carry"

    forget_bias: float = bias_option("f", 2.0, "initial bias of the forget gate")
    on: float = option(0.05, "share of a period in which a unit is open", above=0.0, maximum=1.0)
    leak: float = option(0.001, "how far a closed unit is open, times its phase", minimum=0.0, maximum=1.0)
    longest: float = option(1000.0, "longest period that a unit starts with; the shortest is 1", above=1.0)

    @property
    def initial(self) -> Mapping[str, Start]:  # type: ignore[override]
        return {"v": Uniform(0.0, math.log(self.longest)), "shift": Uniform(0.0, 1.0)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        t = s.t + a.dt * exp(-p.v)
        t = t - floor(t)
        q = t - p.shift
        q = q - floor(q)
        k = where(q < self.on / 2, 2 * q / self.on, where(q < self.on, 2 - 2 * q / self.on, self.leak * q))
        i, f, z = sigmoid(a.i + p.p_i * s.c), sigmoid(a.f + p.p_f * s.c), tanh(a.z)
        d = f * s.c + i * z
        o = sigmoid(a.o + p.p_o * d)
        new = {"h": k * o * tanh(d) + (1 - k) * s.h, "c": k * d + (1 - k) * s.c, "t": t}
        return new, {"input": i, "forget": f, "output": o, "opening": k, "carry": k * f + (1 - k)}
