"""Gated recurrent unit, cuDNN form."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class GRU(Cell):
    """Gated recurrent unit with the reset gate behind the recurrent product: the GRU of `torch.nn.GRU`.

    ```
    r = sigmoid(W_r x + R_r h + b_r)                    reset gate
    z = sigmoid(W_z x + R_z h + b_z)                    update gate
    n = tanh(W_n x + b_n + r . (R_n h + b_m))           candidate
    h = (1 - z) . n + z . h
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination.

    Differs from the paper: Cho et al. 2014 apply the reset gate before the product, R_n (r . h); this form needs one product
    a step and is the one of cuDNN and PyTorch. Cho's z keeps the old state as here; Chung et al. 2014 swap z and 1 - z.

    References:
        Cho et al. 2014, EMNLP (arXiv 1406.1078).
        Chung et al. 2014, arXiv 1412.3555.
    """

    family = "GRU"
    gates = {"r": "reset", "z": "update", "n": "candidate", "m": "candidate_recurrent"}
    sources = {"n": "input", "m": "recurrent"}
    retention = "update"
    peer = torch.nn.GRU

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        r, z = sigmoid(a.r), sigmoid(a.z)
        n = tanh(a.n + r * a.m)
        h = (1 - z) * n + z * s.h
        return {"h": h}, {"reset": r, "update": z}
