"""Gated recurrent unit with the reset gate before the recurrent product."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class GRUCho(Cell):
    """Gated recurrent unit as published: the reset gate decides what the recurrent product of the candidate reads.

    ```
    r = sigmoid(W_r x + R_r h + b_r)        reset gate
    z = sigmoid(W_z x + R_z h + b_z)        update gate
    n = tanh(W_n x + R_n (r . h) + b_n)     candidate
    h = z . h + (1 - z) . n
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination. Cost: that of `gru` less one bias; R_n (r . h) is a second
    product, which waits for r.

    Differs from the paper: Cho et al. have no biases. `gru` has the reset gate behind the product, as cuDNN and PyTorch. In
    Chung et al. 2014 z and 1 - z change places.

    References:
        Cho et al. 2014, EMNLP (arXiv 1406.1078).
        Chung et al. 2014, arXiv 1412.3555.
    """

    family = "GRU"
    gates = {"r": "reset", "z": "update", "n": "candidate"}
    late = {"n": "v"}
    retention = "update"

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"v": sigmoid(a.r) * s.h}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        r, z, n = sigmoid(a.r), sigmoid(a.z), tanh(a.n)
        h = z * s.h + (1 - z) * n
        return {"h": h}, {"reset": r, "update": z}
