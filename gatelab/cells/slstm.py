"""LSTM with an exponential input gate and a normaliser: the sLSTM of xLSTM, with one head."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, exp, maximum, sigmoid, tanh, where
from torch.nn.functional import logsigmoid

from gatelab.cells import Cell, Constant, Ramp


@dataclass(frozen=True)
class SLSTM(Cell):
    """LSTM that can revise its memory: an exponential gate weighs inputs, and the sum of the weights divides them.

    ```
    i~ = W_i x + R_i h + b_i              f = sigmoid(W_f x + R_f h + b_f)
    z  = tanh(W_z x + R_z h + b_z)        o = sigmoid(W_o x + R_o h + b_o)
    m = maximum(log f + m(t-1), i~)       stabiliser; i~ where n(t-1) = 0, in the first step
    i' = exp(i~ - m)                      f' = exp(log f + m(t-1) - m)
    c = f' . c + i' . z
    n = f' . n + i'
    h = o . c / n
    ```

    R starts at 0, b_f at 5 - 12 (j / (H-1))^e in unit j, e from 0.3 in the first layer to 1.6 in the last.

    Bounds: |h| < 1 from the zero state: c / n is an average of z with weights i' above 0.

    Cost: 4 (D + H + 1) H parameters, 8 (D + H) H FLOPs a step, as `lstm`.

    Differs from the paper: one head, so that R is full; in the paper R has a block for each head. f is a sigmoid, one of the
    two forms in the paper and the one of the authors' code, which also puts a convolution of width 4 and SiLU in front of i~
    and f, and starts all of W block-diagonal; here W starts as in all cells. R = 0 and b_f are the start of that code. In the
    statistics `input` is i' and `effective` is f'.

    References:
        Beck et al. 2024, NeurIPS (arXiv 2405.04517), Sec. 2.2.
    """

    family = "exponential gates"
    gates = {"i": "input", "f": "forget", "z": "block_input", "o": "output"}
    state = ("h", "c", "n", "m")
    retention = "effective"
    initial = {"R": Constant(0.0), "b.f": Ramp(5.0, -7.0, 0.3, 1.6)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        kept = where(s.n == 0, a.i, logsigmoid(a.f) + s.m)
        m = maximum(kept, a.i)
        i, f = exp(a.i - m), exp(kept - m)
        c, n = f * s.c + i * tanh(a.z), f * s.n + i
        o = sigmoid(a.o)
        state = {"h": o * c / n, "c": c, "n": n, "m": m}
        return state, {"input": i, "forget": sigmoid(a.f), "effective": f, "output": o}
