"""Residual LSTM: a shortcut from the input behind the cell, under the output gate."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, bias_option


@dataclass(frozen=True)
class ResLSTM(Cell):
    """Residual LSTM: the output gate scales the projected memory plus a map of the input.

    ```
    i = sigmoid(W_i x + R_i h + p_i . c + b_i)      input gate, of the old c
    f = sigmoid(W_f x + R_f h + p_f . c + b_f)      forget gate, of the old c
    z = tanh(W_z x + R_z h + b_z)                   block input
    c = f . c + i . z
    o = sigmoid(W_o x + R_o h + p_o . c + b_o)      output gate, of the new c
    h = o . (R_m tanh(c) + W_m x + b_m)
    ```

    Bounds: |c| grows by less than 1 a step; |h| is not bounded, since W_m x is not. Cost: five square matrices, where `lstm`
    has four, and five input matrices.

    Differs from the paper: b_m and the forget bias of 1 are not theirs, and its projection may make h narrower than c. Where x
    is as wide as h the paper leaves out W_m.

    References:
        Kim, El-Khamy & Lee 2017, Interspeech (arXiv 1701.03360).
    """

    family = "LSTM"
    gates = {"i": "input", "f": "forget", "z": "block_input", "o": "output", "m": "shortcut"}
    state = ("h", "c")
    vectors = ("p_i", "p_f", "p_o")
    late = {"m": "read"}

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")

    def gated(self, a: Any, s: Any, p: Any) -> tuple[Tensor, Tensor, Tensor]:
        i, f = sigmoid(a.i + p.p_i * s.c), sigmoid(a.f + p.p_f * s.c)
        return i, f, f * s.c + i * tanh(a.z)

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        _, _, c = self.gated(a, s, p)
        return {"read": tanh(c)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f, c = self.gated(a, s, p)
        o = sigmoid(a.o + p.p_o * c)
        return {"h": o * a.m, "c": c}, {"input": i, "forget": f, "output": o}
