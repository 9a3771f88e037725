"""Strongly typed LSTM: all gates read two inputs, none the state."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class TLSTM(Cell):
    """Strongly typed LSTM: a moving average of features of x(t) and x(t-1), with an output that both scale.

    ```
    z = W_z x + W_z1 x(t-1) + b_z
    f = sigmoid(W_f x + W_f1 x(t-1) + b_f)        forget gate
    o = tanh(W_o x + W_o1 x(t-1) + b_o)
    c = f . c(t-1) + (1 - f) . z
    h = c . o
    ```

    x(t-1) is 0 at the first step of a sequence.

    Bounds: |c| can grow by more than 1 a step; |h| <= |c|.

    Cost: 3 (2 D + 1) H parameters, 12 D H FLOPs a step.

    Differs from the paper: nothing that is known; these are the equations of torchrecurrent 0.2.5 (TLSTM), which has two biases for
    each pre-activation. The time-aware LSTM of Baytas et al. (2017), also called T-LSTM, is another cell.

    References:
        Balduzzi & Ghifary 2016, ICML (arXiv 1602.02218).
    """

    family = "strongly typed"
    gates = {"z": "content", "f": "forget", "o": "scale"}
    sources = {"z": "input", "f": "input", "o": "input"}
    state = ("h", "c")
    delay = {"x": 1}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f = sigmoid(a.f)
        c = f * s.c + (1 - f) * a.z
        return {"h": c * tanh(a.o), "c": c}, {"forget": f}
