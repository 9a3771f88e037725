"""Multiplicative LSTM."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, bias_option


@dataclass(frozen=True)
class MultLSTM(Cell):
    """Multiplicative LSTM: each input gives the gates a recurrent matrix of its own, R_g diag(W_m x) R_k.

    ```
    m = (W_m x + b_m) . (R_k h + b_k)       what the gates see in place of h
    i = sigmoid(W_i x + R_i m + b_i)        input gate
    f = sigmoid(W_f x + R_f m + b_f)        forget gate
    z = tanh(W_z x + R_z m + b_z)           block input
    o = sigmoid(W_o x + R_o m + b_o)        output gate
    c = f . c + i . z
    h = o . tanh(c)
    ```

    Bounds: |h| < 1; |c| grows by less than 1 a step. Cost: R is one quarter larger than that of `lstm`.

    Differs from the paper: its m has no biases; b_m and b_k start from 0. Its first results are with another cell, whose block
    input is linear and whose output is tanh(o . c); this is the form of its later code. The forget bias of 1 is of that code,
    too; its normalisation of the weights is left out.

    References:
        Krause, Lu, Murray & Renals 2016, "Multiplicative LSTM for sequence modelling", arXiv 1609.07959.
    """

    family = "LSTM"
    gates = {
        "m": "factor_of_input",
        "k": "factor_of_state",
        "i": "input",
        "f": "forget",
        "z": "block_input",
        "o": "output",
    }
    state = ("h", "c")
    sources = {"m": "input", "k": "recurrent"}
    late = dict.fromkeys(("i", "f", "z", "o"), "m")

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"m": a.m * a.k}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f, z, o = sigmoid(a.i), sigmoid(a.f), tanh(a.z), sigmoid(a.o)
        c = f * s.c + i * z
        h = o * tanh(c)
        return {"h": h, "c": c}, {"input": i, "forget": f, "output": o}
