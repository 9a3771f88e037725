"""LSTM with working memory connections."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, bias_option


@dataclass(frozen=True)
class WMCLSTM(Cell):
    """LSTM with working memory connections: the gates see the cell through a matrix and a tanh.

    ```
    i = sigmoid(W_i x + R_i h + b_i + tanh(R_k c + b_k))      input gate, of the old c
    f = sigmoid(W_f x + R_f h + b_f + tanh(R_l c + b_l))      forget gate, of the old c
    z = tanh(W_z x + R_z h + b_z)                             block input
    c = f . c + i . z
    o = sigmoid(W_o x + R_o h + b_o + tanh(R_m c + b_m))      output gate, of the new c
    h = o . tanh(c)
    ```

    Bounds: |h| < 1; |c| grows by less than 1 a step. Cost: seven square matrices, where `lstm` has four.

    Differs from the paper: the forget bias of 1 is not theirs.

    References:
        Landi, Baraldi, Cornia & Cucchiara 2021, "Working memory connections for LSTM", arXiv 2109.00020.
    """

    family = "LSTM"
    gates = {
        "i": "input",
        "f": "forget",
        "z": "block_input",
        "o": "output",
        "k": "memory_of_input",
        "l": "memory_of_forget",
        "m": "memory_of_output",
    }
    state = ("h", "c")
    sources = {"k": "recurrent", "l": "recurrent", "m": "recurrent"}
    late = {"k": "c", "l": "c", "m": "new"}

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")

    def gated(self, a: Any, s: Any) -> tuple[Tensor, Tensor, Tensor]:
        i, f = sigmoid(a.i + tanh(a.k)), sigmoid(a.f + tanh(a.l))
        return i, f, f * s.c + i * tanh(a.z)

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        _, _, c = self.gated(a, s)
        return {"new": c}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f, c = self.gated(a, s)
        o = sigmoid(a.o + tanh(a.m))
        h = o * tanh(c)
        return {"h": h, "c": c}, {"input": i, "forget": f, "output": o}
