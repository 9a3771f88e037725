"""Bistable recurrent cell."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, Constant


@dataclass(frozen=True)
class BRC(Cell):
    """Bistable cell: every unit decides from its own state alone whether it latches.

    ```
    a = 1 + tanh(W_a x + b_a + w_a . h)     modulation, within [0, 2]: a unit is bistable where it exceeds 1
    u = sigmoid(W_u x + b_u + w_u . h)      update gate
    h = u . h + (1 - u) . tanh(W_z x + b_z + a . h)
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination.
    Cost: H(3D + 5) parameters and 6HD + 14H FLOPs a step.

    Differs from the paper: its candidate has no bias; this one starts from 0. The old state is also within the candidate, so that u
    is not all that it is multiplied by: the cell has no timescales. w_a and w_u start from 1, as in the authors' code.

    References:
        Vecoven, Ernst & Drion 2021, PLoS ONE 16(6), e0252676, BRC.
    """

    family = "bistable"
    gates = {"a": "modulation", "u": "update", "z": "block_input"}
    sources = dict.fromkeys(gates, "input")
    vectors = ("w_a", "w_u")
    initial = dict.fromkeys(vectors, Constant(1.0))
    unbounded = ("modulation",)

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        modulation, u = 1 + tanh(a.a + p.w_a * s.h), sigmoid(a.u + p.w_u * s.h)
        h = u * s.h + (1 - u) * tanh(a.z + modulation * s.h)
        return {"h": h}, {"modulation": modulation, "update": u}
