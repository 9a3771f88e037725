"""LSTM with an exponential input gate and a normaliser: the sLSTM of xLSTM."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, exp, maximum, sigmoid, tanh, where
from torch.nn.functional import logsigmoid

from gatelab.cells import Cell, Constant, Ramp, Start
from gatelab.options import option


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

    With `heads`, each R has a block (H/heads, H/heads) for each head and is 0 elsewhere. R starts at 0, b_f at 5 - 12 (j / (n-1))^e
    in unit j of the n units of a head, e from 0.3 in the first layer to 1.6 in the last.

    Bounds: |h| < 1 from the zero state: c / n is an average of z with weights i' above 0.

    Cost: 4 (D + H/heads + 1) H parameters, 8 (D + H/heads) H FLOPs a step; with one head as `lstm`. The loop multiplies by all of
    R, zeros included.

    Differs from the paper: one head by default, where its code has 4. f is a sigmoid, one of the two forms in the paper and the
    one of the authors' code, which also puts a convolution of width 4 and SiLU in front of i~ and f, and has W block-diagonal, too;
    here W is full and starts as in all cells. R = 0 and b_f are the start of that code. In the statistics `input` is i' and
    `effective` is f'.

    References:
        Beck et al. 2024, NeurIPS (arXiv 2405.04517), Sec. 2.2.
    """

    family = "exponential gates"
    gates = {"i": "input", "f": "forget", "z": "block_input", "o": "output"}
    state = ("h", "c", "n", "m")
    retention = "effective"

    heads: int = option(1, "blocks on the diagonal of R; the hidden size is a multiple", minimum=1)

    @property
    def initial(self) -> Mapping[str, Start]:  # type: ignore[override]
        return {"R": Constant(0.0), "b.f": Ramp(5.0, -7.0, 0.3, 1.6, self.heads)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        kept = where(s.n == 0, a.i, logsigmoid(a.f) + s.m)
        m = maximum(kept, a.i)
        i, f = exp(a.i - m), exp(kept - m)
        c, n = f * s.c + i * tanh(a.z), f * s.n + i
        o = sigmoid(a.o)
        state = {"h": o * c / n, "c": c, "n": n, "m": m}
        return state, {"input": i, "forget": sigmoid(a.f), "effective": f, "output": o}
