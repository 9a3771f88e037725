"""Nested LSTM: the memory of an LSTM is an LSTM."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, bias_option


@dataclass(frozen=True)
class NestedLSTM(Cell):
    """Nested LSTM of depth 2: an inner LSTM with the input i . a_z and the state f . c computes the new memory.

    ```
    i = sigmoid(W_i x + R_i h + b_i)        input gate
    f = sigmoid(W_f x + R_f h + b_f)        forget gate
    o = sigmoid(W_o x + R_o h + b_o)        output gate
    u = i . (W_z x + R_z h + b_z)           input of the inner LSTM
    v = f . c                               its state
    j = sigmoid(W_j u + R_j v + b_j)        inner input gate
    g = sigmoid(W_g u + R_g v + b_g)        inner forget gate
    y = tanh(W_y u + R_y v + b_y)           inner block input
    q = sigmoid(W_q u + R_q v + b_q)        inner output gate
    m = g . m + j . y                       inner memory
    c = q . tanh(m)
    h = o . tanh(c)
    ```

    Bounds: |h| < tanh(1). Cost: twelve square matrices, where `lstm` has four.

    Differs from the paper: nothing; its depth is 2 here. W_j and R_j lie side by side in the parameter R_j, and so on. A widely
    used implementation for Keras adds u to the memory of the level, in place of the inner LSTM.

    References:
        Moniz & Krueger 2017, "Nested LSTMs", ACML (arXiv 1801.10308).
    """

    family = "LSTM"
    gates = {
        "i": "input",
        "f": "forget",
        "o": "output",
        "z": "block_input",
        "j": "inner_input",
        "g": "inner_forget",
        "q": "inner_output",
        "y": "inner_block_input",
    }
    state = ("h", "c", "m")
    sources = dict.fromkeys(("j", "g", "q", "y"), "recurrent")
    late = dict.fromkeys(("j", "g", "q", "y"), ("u", "v"))
    retention = "inner_forget"

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")
    inner_forget_bias: float = bias_option("g", 1.0, "initial bias of the inner forget gate")

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"u": sigmoid(a.i) * a.z, "v": sigmoid(a.f) * s.c}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f, o = sigmoid(a.i), sigmoid(a.f), sigmoid(a.o)
        j, g, q = sigmoid(a.j), sigmoid(a.g), sigmoid(a.q)
        m = g * s.m + j * tanh(a.y)
        c = q * tanh(m)
        h = o * tanh(c)
        gates = {"input": i, "forget": f, "output": o, "inner_input": j, "inner_forget": g, "inner_output": q}
        return {"h": h, "c": c, "m": m}, gates
