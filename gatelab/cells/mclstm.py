"""Memory-controller LSTM."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, bias_option


@dataclass(frozen=True)
class MCLSTM(Cell):
    """Memory-controller LSTM: what it outputs and what it feeds back pass different gates.

    ```
    i = sigmoid(W_i x + R_i v + b_i)        input gate
    f = sigmoid(W_f x + R_f v + b_f)        forget gate
    z = tanh(W_z x + R_z v + b_z)
    o = sigmoid(W_o x + R_o v + b_o)        output gate
    m = sigmoid(W_m x + R_m v + b_m)        control gate
    c = f . c + i . z
    v = m . tanh(c)
    h = o . tanh(c)
    ```

    Bounds: |h| < 1; |c| grows by less than 1 a step. Cost: 5H(D + H + 1) parameters and 10H(D + H) + 11H FLOPs a step.

    Differs from the paper: the forget bias of 1 is not theirs. Not the mass-conserving MC-LSTM of Hoedt et al. 2021.

    References:
        Intel 2017, "Sequence Modeling", paper of a workshop at NIPS, as transcribed in torchrecurrent 0.2.5.
    """

    family = "LSTM"
    gates = {"i": "input", "f": "forget", "z": "block_input", "o": "output", "m": "control"}
    state = ("h", "c", "v")
    feedback = ("v",)

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f, z, o, m = sigmoid(a.i), sigmoid(a.f), tanh(a.z), sigmoid(a.o), sigmoid(a.m)
        c = f * s.c + i * z
        shown = tanh(c)
        return {"h": o * shown, "c": c, "v": m * shown}, {"input": i, "forget": f, "output": o, "control": m}
