"""Lipschitz network: a linear part that keeps, and a nonlinear part that is bounded."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, tanh

from gatelab.cells import Cell, Constraint, Normal, SkewMix, Start
from gatelab.options import option


@dataclass(frozen=True)
class Lipschitz(Cell):
    """Lipschitz network: Euler steps of a linear system that keeps and a nonlinear one that is bounded.

    ```
    A = (1 - beta) (M_l + M_l^T) + beta (M_l - M_l^T) - gamma I         B likewise from M_z
    l = A h(t-1) + b_l
    z = tanh(W x + B h(t-1) + b_z)
    h = h(t-1) + epsilon (l + z)
    ```

    Bounds: |h| is not bounded, unless the symmetric part of A stays negative.

    Differs from the paper: A and B share beta and gamma, as in the authors' code; b_l is added, 0 at the start.

    References:
        Erichson, Azencot, Queiruga, Hodgkinson & Mahoney 2021, ICLR (arXiv 2006.12070), Eq. 2 and 5.
    """

    family = "dynamics"
    gates = {"l": "linear", "z": "block_input"}
    sources = {"l": "recurrent"}

    epsilon: float = option(0.03, "step size", above=0.0)
    beta: float = option(0.75, "share of the antisymmetric part", minimum=0.0, maximum=1.0)
    gamma: float = option(0.001, "subtracted on the diagonals", minimum=0.0)
    std: float = option(0.01, "initial standard deviation of M", above=0.0)

    @property
    def constraint(self) -> dict[str, Constraint]:  # type: ignore[override]
        return {"R": SkewMix(self.beta, self.gamma)}

    @property
    def initial(self) -> dict[str, Start]:  # type: ignore[override]
        return {"R": Normal(self.std)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"h": s.h + self.epsilon * (a.l + tanh(a.z))}, {}
