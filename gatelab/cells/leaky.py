"""Leaky unit: every unit has its own time constant, whatever its input."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh, zeros_like

from gatelab.cells import Cell


@dataclass(frozen=True)
class Leaky(Cell):
    """Leaky network: units with learned time constants 1/a and no gate.

    ```
    f = sigmoid(v)        a = 1 - f         one for each unit, the same at every step
    z = tanh(W x + R h + b)
    h = (1 - a) . h + a . z
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination.

    Differs from the paper: Tallec & Ollivier learn a itself; sigmoid(v) keeps it within (0, 1). v starts like all vectors from
    U(-1/sqrt(H), 1/sqrt(H)), a near 1/2. f is returned as the gate `forget`, from which time constants are computed; it is a
    parameter, and no initialisation of gates applies to it.

    References:
        Jaeger 2002, "Tutorial on training recurrent neural networks", GMD report 159: leaky integrator units.
        Tallec & Ollivier 2018, ICLR (arXiv 1804.11188), Sec. 1, leaky networks.
    """

    family = "no gates"
    gates = {"z": "block_input"}
    vectors = ("v",)

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f, z = sigmoid(p.v), tanh(a.z)
        h = f * s.h + (1 - f) * z
        return {"h": h}, {"forget": zeros_like(h) + f}
