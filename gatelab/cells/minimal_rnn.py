"""Minimal recurrent network, whose input is a map of what it sees."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class MinimalRNN(Cell):
    """Minimal recurrent network: a gate mixes the state with a map of the input.

    ```
    z = tanh(W_z x + b_z)                   what the input maps to
    u = sigmoid(R_u h + V_u z + b_u)        keeps where it is 1
    h = u . h + (1 - u) . z
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination.

    Differs from the paper: the paper leaves the map of the input open; a layer with tanh is the one of its experiments. R_u and V_u
    lie side by side in the parameter R_u.

    References:
        Chen 2017, "MinimalRNN: toward more interpretable and trainable recurrent neural networks", arXiv 1711.06788.
    """

    family = "gated units"
    gates = {"z": "block_input", "u": "update"}
    sources = {"z": "input", "u": "recurrent"}
    late = {"u": ("h", "z")}
    retention = "update"

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"z": tanh(a.z)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        z, u = tanh(a.z), sigmoid(a.u)
        h = u * s.h + (1 - u) * z
        return {"h": h}, {"update": u}
