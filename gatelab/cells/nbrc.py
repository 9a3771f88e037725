"""Neuromodulated bistable recurrent cell."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class NBRC(Cell):
    """Neuromodulated bistable cell: every unit can latch, and all units together decide when.

    ```
    a = 1 + tanh(W_a x + R_a h + b_a)       modulation, within [0, 2]: a unit is bistable where it exceeds 1
    u = sigmoid(W_u x + R_u h + b_u)        update gate
    h = u . h + (1 - u) . tanh(W_z x + b_z + a . h)
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination.
    Cost: H(3D + 2H + 3) parameters and 2H(3D + 2H) + 10H FLOPs a step.

    Differs from the paper: its candidate has no bias; this one starts from 0. The old state is also within the candidate, so that u
    is not all that it is multiplied by: the cell has no timescales.

    References:
        Vecoven, Ernst & Drion 2021, PLoS ONE 16(6), e0252676, nBRC.
    """

    family = "bistable"
    gates = {"a": "modulation", "u": "update", "z": "block_input"}
    sources = {"z": "input"}
    unbounded = ("modulation",)

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        modulation, u = 1 + tanh(a.a), sigmoid(a.u)
        h = u * s.h + (1 - u) * tanh(a.z + modulation * s.h)
        return {"h": h}, {"modulation": modulation, "update": u}
