"""Leaky unit whose time constant depends on what it sees."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, bias_option


@dataclass(frozen=True)
class GatedLeaky(Cell):
    """Leaky network with a gate in place of the constant leak: this is enough for invariance to any warping of time.

    ```
    f = sigmoid(W_f x + R_f h + b_f)        g = 1 - f
    z = tanh(W_z x + R_z h + b_z)
    h = (1 - g) . h + g . z
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination.

    Differs from the paper: Tallec & Ollivier compute g = sigmoid(W_g x + R_g h + b_g); the weights of f are those with opposite
    sign, so that the gate that keeps the state is called as in other cells. The forget bias of 0 starts it where `leaky` starts.

    References:
        Tallec & Ollivier 2018, ICLR (arXiv 1804.11188), Sec. 1, the gated network derived there.
    """

    family = "gated units"
    gates = {"f": "forget", "z": "block_input"}

    forget_bias: float = bias_option("f", 0.0, "initial bias of the forget gate")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f, z = sigmoid(a.f), tanh(a.z)
        h = f * s.h + (1 - f) * z
        return {"h": h}, {"forget": f}
