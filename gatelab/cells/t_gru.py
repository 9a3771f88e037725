"""Strongly typed GRU: all gates read two inputs, none the state."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class TGRU(Cell):
    """Strongly typed GRU: x(t) and x(t-1) decide what is kept, what is added, and how much of it.

    ```
    z = W_z x + W_z1 x(t-1) + b_z
    f = sigmoid(W_f x + W_f1 x(t-1) + b_f)        forget gate
    o = tanh(W_o x + W_o1 x(t-1) + b_o)
    h = f . h(t-1) + z . o
    ```

    x(t-1) is 0 at the first step of a sequence.

    Bounds: |h| can grow by more than 1 a step.

    Cost: 3 (2 D + 1) H parameters, 12 D H FLOPs a step.

    Differs from the paper: nothing that is known; these are the equations of torchrecurrent 0.2.5 (TGRU), which has two biases
    for each pre-activation.

    References:
        Balduzzi & Ghifary 2016, ICML (arXiv 1602.02218).
    """

    family = "strongly typed"
    gates = {"z": "content", "f": "forget", "o": "scale"}
    sources = {"z": "input", "f": "input", "o": "input"}
    delay = {"x": 1}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f = sigmoid(a.f)
        return {"h": f * s.h + a.z * tanh(a.o)}, {"forget": f}
