"""Long short-term memory with ordered neurons."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, cumulate, softmax


@dataclass(frozen=True)
class ONLSTM(Cell):
    """LSTM whose units are ordered: master gates erase the first ones often and keep the last ones long.

    ```
    m = cumax(W_m x + R_m h + b_m)              master forget gate, rises along the units to 1
    k = 1 - cumax(W_k x + R_k h + b_k)          master input gate, falls along the units to 0
    i, f, o = sigmoid(W x + R h + b)            input, forget and output gate
    z = tanh(W_z x + R_z h + b_z)               block input
    F = m . (f . k + 1 - k)                     where both master gates are open, f and i decide
    I = k . (i . m + 1 - m)
    c = F . c + I . z
    h = o . tanh(c)

    cumax(a)_j = softmax(a)_1 + ... + softmax(a)_j
    ```

    Bounds: |h| stays below 1; |c| grows by less than 1 a step. Cost: 6 blocks where `lstm` has 4.

    Differs from the paper: F = f . w + (m - w) and I = i . w + (k - w) with the overlap w = m . k are written so that they cannot
    leave [0, 1] by rounding, for which a cumax ends at 1. Every unit has master gates of its own; the paper lets C units share
    them, which saves weights. The gates `forget` and `input` are F and I, which act on c.

    References:
        Shen, Tan, Sordoni & Courville 2019, ICLR (arXiv 1810.09536), equations 6 to 14.
    """

    family = "LSTM"
    gates = {
        "i": "input",
        "f": "forget",
        "z": "block_input",
        "o": "output",
        "m": "master_forget",
        "k": "master_input",
    }
    state = ("h", "c")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f, z, o = sigmoid(a.i), sigmoid(a.f), tanh(a.z), sigmoid(a.o)
        m, k = cumulate(softmax(a.m)).clamp(max=1.0), 1 - cumulate(softmax(a.k)).clamp(max=1.0)
        F, I = m * (f * k + 1 - k), k * (i * m + 1 - m)  # noqa: E741 - the letters of the equations
        c = F * s.c + I * z
        h = o * tanh(c)
        return {"h": h, "c": c}, {"input": I, "forget": F, "output": o, "master_forget": m, "master_input": k}
