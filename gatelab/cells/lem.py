"""Long expressive memory: a system of differential equations with learnt time steps."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, Scaled, Uniform
from gatelab.options import option


@dataclass(frozen=True)
class LEM(Cell):
    """Long expressive memory: two coupled equations, each with a time step that is learnt; the output reads the new memory.

    ```
    d = dt sigmoid(W_d x + R_d y + b_d)     time step of z
    e = dt sigmoid(W_e x + R_e y + b_e)     time step of y
    z = (1 - d) . z + d . tanh(W_m x + R_m y + b_m)
    y = (1 - e) . y + e . tanh(W_n x + R_n z + b_n)
    ```

    Bounds: |y| <= 1 from |y_0| <= 1; |z| <= 1 from |z_0| <= 1, since dt <= 1 and both are convex combinations.

    Differs from the paper: nothing; all parameters start from U(-1/sqrt(H), 1/sqrt(H)), biases, too. y reads the NEW z:
    torchrecurrent 0.2.5 has the old one there, which is another model. 1 - e, the factor on the old y, is returned as the gate
    `kept`.

    References:
        Rusch, Mishra, Erichson & Mahoney 2022, ICLR (arXiv 2110.04744).
    """

    family = "differential equations"
    gates = {"d": "memory_step", "e": "output_step", "m": "memory", "n": "output"}
    state = ("y", "z")
    feedback = ("y",)
    late = {"n": "new"}
    initial = {"b": Scaled(Uniform(-1.0, 1.0))}
    retention = "kept"

    dt: float = option(1.0, "longest time step of a step", above=0.0, maximum=1.0)

    def memory_of(self, a: Any, s: Any) -> Tensor:
        d = self.dt * sigmoid(a.d)
        return (1 - d) * s.z + d * tanh(a.m)

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"new": self.memory_of(a, s)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        e = self.dt * sigmoid(a.e)
        z = self.memory_of(a, s)
        y = (1 - e) * s.y + e * tanh(a.n)
        return {"y": y, "z": z}, {"memory_step": self.dt * sigmoid(a.d), "output_step": e, "kept": 1 - e}
