"""Update gate RNN."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, bias_option


@dataclass(frozen=True)
class UGRNN(Cell):
    """Update gate RNN: one gate mixes the old state with a candidate.

    ```
    g = sigmoid(W_g x + R_g h + b_g)        update gate
    z = tanh(W_z x + R_z h + b_z)
    h = g . h + (1 - g) . z
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination.
    Cost: 2H(D + H + 1) parameters and 4H(D + H) + 6H FLOPs a step.

    Differs from the paper: nothing. The bias of 1 is the one in TensorFlow's UGRNNCell, where it is a constant beside a bias that
    starts from 0. These are the equations of `gated_leaky`, found for another reason, and started with longer memory.

    References:
        Collins, Sohl-Dickstein & Sussillo 2017, ICLR (arXiv 1611.09913).
    """

    family = "gated units"
    gates = {"g": "update", "z": "block_input"}
    retention = "update"

    update_bias: float = bias_option("g", 1.0, "initial bias of the update gate")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        g, z = sigmoid(a.g), tanh(a.z)
        h = g * s.h + (1 - g) * z
        return {"h": h}, {"update": g}
