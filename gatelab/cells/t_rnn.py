"""Strongly typed RNN."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid

from gatelab.cells import Cell, bias_option


@dataclass(frozen=True)
class TRNN(Cell):
    """Strongly typed RNN: a moving average of features of the input, whose rate the input decides.

    ```
    z = W_z x + b_z
    f = sigmoid(W_f x + b_f)                forget gate
    h = f . h + (1 - f) . z
    ```

    Bounds: |h| can grow by more than 1 a step. Cost: 2H(D + 1) parameters and 4HD + 5H FLOPs a step.

    Differs from the paper: its z has no bias; this one starts from 0. The forget bias of 1 is not theirs.

    References:
        Balduzzi & Ghifary 2016, ICML (arXiv 1602.02218).
    """

    family = "strongly typed"
    gates = {"z": "content", "f": "forget"}
    sources = {"z": "input", "f": "input"}

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f = sigmoid(a.f)
        h = f * s.h + (1 - f) * a.z
        return {"h": h}, {"forget": f}
