"""Antisymmetric network: a recurrent matrix whose dynamics neither grow nor decay."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, tanh

from gatelab.cells import Antisymmetric, Cell, Constraint, Normal, Scaled, Start
from gatelab.options import option


@dataclass(frozen=True)
class AntisymmetricRNN(Cell):
    """Antisymmetric network: small steps of a differential equation whose modes neither grow nor decay.

    ```
    A = M - M^T - gamma I
    h = h(t-1) + epsilon tanh(W x + A h(t-1) + b)
    ```

    Bounds: |h| grows by less than epsilon a step.

    Differs from the paper: M is a full matrix, of which only the differences M_ij - M_ji count, in place of a triangle. It starts
    with the standard deviation `scale` / sqrt(H).

    References:
        Chang, Chen, Haber & Chi 2019, ICLR (arXiv 1902.09689), Eq. 10.
    """

    family = "dynamics"
    gates = {"z": "block_input"}

    epsilon: float = option(0.01, "step size", above=0.0)
    gamma: float = option(0.01, "diffusion: subtracted from the diagonal of the recurrent matrix", minimum=0.0)
    scale: float = option(1.0, "initial standard deviation of M, times sqrt(H)", above=0.0)

    @property
    def constraint(self) -> dict[str, Constraint]:  # type: ignore[override]
        return {"R": Antisymmetric(self.gamma)}

    @property
    def initial(self) -> dict[str, Start]:  # type: ignore[override]
        return {"R": Scaled(Normal(self.scale))}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"h": s.h + self.epsilon * tanh(a.z)}, {}
