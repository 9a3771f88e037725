"""Chaos-free network."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class CFN(Cell):
    """Chaos-free network: without input its state can only relax to zero.

    ```
    k = sigmoid(W_k x + R_k h + b_k)        horizontal gate, through time
    v = sigmoid(W_v x + R_v h + b_v)        vertical gate, from the layer below
    h = k . tanh(h) + v . tanh(W_z x + b_z)
    ```

    Bounds: |h| < 2. Cost: H(3D + 2H + 3) parameters and 2H(3D + 2H) + 7H FLOPs a step.

    Differs from the paper: its tanh(W x) has no bias; this one starts from 0, as all do here. The factor on the old state is
    k . (1 - tanh(h)^2), which is not a gate, so that the cell has no timescales.

    References:
        Laurent & von Brecht 2017, ICLR (arXiv 1612.06212), Sec. 1: theta is k, eta is v.
    """

    family = "gated units"
    gates = {"k": "horizontal", "v": "vertical", "z": "block_input"}
    sources = {"z": "input"}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        k, v = sigmoid(a.k), sigmoid(a.v)
        h = k * tanh(s.h) + v * tanh(a.z)
        return {"h": h}, {"horizontal": k, "vertical": v}
