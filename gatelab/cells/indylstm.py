"""LSTM with diagonal recurrent matrices: the IndyLSTM."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, bias_option


@dataclass(frozen=True)
class IndyLSTM(Cell):
    """Independently recurrent LSTM: every unit reads its own state alone, by one weight for each gate.

    ```
    i = sigmoid(W_i x + u_i . h + b_i)      input gate
    f = sigmoid(W_f x + u_f . h + b_f)      forget gate
    z = tanh(W_z x + u_z . h + b_z)         block input
    o = sigmoid(W_o x + u_o . h + b_o)      output gate
    c = f . c + i . z
    h = o . tanh(c)
    ```

    Bounds: |h| < 1; |c| grows by less than 1 a step. Cost: 4H(D + 2) parameters, where `lstm` has 4H(D + H + 1).

    Differs from the paper: the forget bias of 1 and the start of u, that of all vectors, are not theirs. `paralstm` couples i and
    f and has peepholes.

    References:
        Gonnet & Deselaers 2020, "IndyLSTMs: independently recurrent LSTMs", ICASSP (arXiv 1903.08023).
    """

    family = "diagonal recurrence"
    gates = {"i": "input", "f": "forget", "z": "block_input", "o": "output"}
    sources = dict.fromkeys(("i", "f", "z", "o"), "input")
    state = ("h", "c")
    vectors = ("u_i", "u_f", "u_z", "u_o")

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f, o = sigmoid(a.i + p.u_i * s.h), sigmoid(a.f + p.u_f * s.h), sigmoid(a.o + p.u_o * s.h)
        c = f * s.c + i * tanh(a.z + p.u_z * s.h)
        return {"h": o * tanh(c), "c": c}, {"input": i, "forget": f, "output": o}
