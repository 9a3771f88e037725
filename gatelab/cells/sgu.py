"""Simple gated unit: the input gates the state, and the state its own candidate."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh
from torch.nn.functional import softplus

from gatelab.cells import Cell


@dataclass(frozen=True)
class SGU(Cell):
    """Simple gated unit: the input gates the state, and the result, behind a matrix, gates it again.

    ```
    g = W_g x + b_g                         gate of the input
    k = tanh(R_k (g . h) + b_k)
    o = softplus(k . h)                     candidate, log 2 where h = 0
    z = sigmoid(W_z x + R_z h + b_z)        writes where it is 1
    h = (1 - z) . h + z . o
    ```

    Bounds: |h| grows by less than 1 a step, since softplus(k h) <= log 2 + |h|. Cost: two square matrices, where `gru` has
    three.

    Differs from the paper: R_k has a bias here, which starts from 0; z is a logistic function, which the paper approximates by a
    piecewise linear one. 1 - z is returned as the gate `kept`. It has no timescales:
    the candidate reads the unit's own state, too.

    References:
        Gao & Glowacka 2016, "Deep gate recurrent neural network", arXiv 1604.02910.
    """

    family = "gated units"
    gates = {"g": "gate", "k": "gated_state", "z": "update"}
    sources = {"g": "input", "k": "recurrent"}
    late = {"k": "v"}

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"v": a.g * s.h}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        k, z = tanh(a.k), sigmoid(a.z)
        kept = 1 - z
        return {"h": kept * s.h + z * softplus(k * s.h)}, {"update": z, "kept": kept}
