"""Light gated recurrent unit."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, relu, sigmoid

from gatelab.cells import Cell


@dataclass(frozen=True)
class LiGRU(Cell):
    """Light GRU: no reset gate, and a candidate without saturation.

    ```
    z = sigmoid(W_z x + R_z h + b_z)        update gate
    n = relu(W_n x + R_n h + b_n)           candidate
    h = z . h + (1 - z) . n
    ```

    Bounds: |h| can grow by more than 1 a step. Cost: 2H(D + H + 1) parameters and 4H(D + H) + 6H FLOPs a step.

    Differs from the paper: there W x is batch-normalised, which replaces the biases and keeps the candidate small, and a dropout
    mask multiplies n. Without them the state can grow without bound: clip gradients, and prefer an orthogonal R.

    References:
        Ravanelli, Brakel, Omologo & Bengio 2018, IEEE TETCI 2(2) (arXiv 1803.10225).
    """

    family = "GRU"
    gates = {"z": "update", "n": "candidate"}
    retention = "update"

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        z, n = sigmoid(a.z), relu(a.n)
        h = z * s.h + (1 - z) * n
        return {"h": h}, {"update": z}
