"""Deep simple gated unit: two products behind the first."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class DSGU(Cell):
    """Deep simple gated unit: the input gates the state twice, and each result passes a matrix.

    ```
    g = W_g x + b_g                         gate of the input
    k = tanh(R_k (g . h) + b_k)
    o = sigmoid(R_o (k . h) + b_o)          candidate
    z = sigmoid(W_z x + R_z h + b_z)        writes where it is 1
    h = (1 - z) . h + z . o
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination. Cost: three square matrices, as `gru`; the products with R_k
    and R_o wait for each other.

    Differs from the paper: R_k and R_o have biases here, which start from 0; z is a logistic function, which the paper approximates
    by a piecewise linear one. 1 - z, which keeps the state, is returned as the gate `kept`.

    References:
        Gao & Glowacka 2016, "Deep gate recurrent neural network", arXiv 1604.02910.
    """

    family = "gated units"
    gates = {"g": "gate", "k": "gated_state", "o": "candidate", "z": "update"}
    sources = {"g": "input", "k": "recurrent", "o": "recurrent"}
    late = {"k": "v", "o": "w"}
    retention = "kept"

    def before(self, a: Any, s: Any, p: Any) -> Iterator[dict[str, Tensor]]:
        yield {"v": a.g * s.h}
        yield {"w": tanh(a.k) * s.h}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        o, z = sigmoid(a.o), sigmoid(a.z)
        kept = 1 - z
        h = kept * s.h + z * o
        return {"h": h}, {"candidate": o, "update": z, "kept": kept}
