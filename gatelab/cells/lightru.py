"""Light recurrent unit."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class LightRU(Cell):
    """Light recurrent unit: one gate, and a candidate that does not see the state.

    ```
    f = sigmoid(W_f x + R h + b_f)          gate, which writes at 1
    z = tanh(W_z x + b_z)
    h = (1 - f) . h + f . z
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination.
    Cost: H(2D + H + 2) parameters and 2H(2D + H) + 6H FLOPs a step.

    Differs from the paper: its candidate has no bias; this one starts from 0. It calls f a forget gate, but f is the share that
    is written: it is the gate `input` here, and 1 - f is the gate `forget`.

    References:
        Ye, Zhang, Liu, Li, Chang & Zheng 2024, Electronics 13(16), 3204.
    """

    family = "gated units"
    gates = {"f": "input", "z": "block_input"}
    sources = {"z": "input"}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f, z = sigmoid(a.f), tanh(a.z)
        keep = 1 - f
        h = keep * s.h + f * z
        return {"h": h}, {"input": f, "forget": keep}
