"""Long short-term memory with a forget gate and without peepholes."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, bias_option


@dataclass(frozen=True)
class LSTM(Cell):
    """Long short-term memory: gates decide what it takes in, keeps and shows; the LSTM of `torch.nn.LSTM`.

    ```
    i = sigmoid(W_i x + R_i h + b_i)    input gate
    f = sigmoid(W_f x + R_f h + b_f)    forget gate
    z = tanh(W_z x + R_z h + b_z)       block input
    o = sigmoid(W_o x + R_o h + b_o)    output gate
    c = f . c + i . z
    h = o . tanh(c)
    ```

    Bounds: |h| < 1; |c| grows by less than 1 a step.

    Differs from the paper: Gers et al. 2000 squash with 4 sigma(x) - 2 and 2 sigma(x) - 1 and group cells into blocks that share
    their gates; tanh and a gate for every unit are the form in use today. The forget bias of 1 is that of Jozefowicz et al.;
    `torch.nn.LSTM` draws it from U(-1/sqrt(H), 1/sqrt(H)) twice.

    References:
        Gers, Schmidhuber & Cummins 2000, Neural Computation 12(10): the forget gate.
        Hochreiter & Schmidhuber 1997, Neural Computation 9(8).
        Jozefowicz, Zaremba & Sutskever 2015, PMLR 37: the forget bias.
    """

    family = "LSTM"
    gates = {"i": "input", "f": "forget", "z": "block_input", "o": "output"}
    state = ("h", "c")
    peer = torch.nn.LSTM

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f, z, o = sigmoid(a.i), sigmoid(a.f), tanh(a.z), sigmoid(a.o)
        c = f * s.c + i * z
        h = o * tanh(c)
        return {"h": h, "c": c}, {"input": i, "forget": f, "output": o}
