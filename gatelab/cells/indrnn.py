"""Independently recurrent network: every unit reads its own state alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, relu

from gatelab.cells import Cell, Scaled, Start, Uniform
from gatelab.options import option


@dataclass(frozen=True)
class IndRNN(Cell):
    """Independently recurrent network: rectified units with one recurrent weight each; layers mix them.

    ```
    h = max(0, W x + b + u . h)        u starts from U(0, largest)
    ```

    Bounds: h >= 0; |h| is not bounded where a weight in u exceeds 1.

    Cost: (D + 2) H parameters, 2 D H FLOPs a step and 3 a unit.

    Differs from the paper: u is not held below 2^(1/T) while it is trained (T: steps); `largest` is where it starts, 1 or that
    bound. In the authors' code u of a last layer whose output is read at the end alone starts near 1; here all layers start
    alike. Batch normalisation is not part of the cell. W starts as in their code, from U(-k, k) with k = sqrt(6 / (65 D)).

    References:
        Li, Li, Cook, Zhu & Gao 2018, CVPR (arXiv 1803.04831), eq. 2 and Sec. 3: the bound on u.
    """

    family = "diagonal recurrence"
    gates = {"z": "block_input"}
    sources = {"z": "input"}
    vectors = ("u",)

    largest: float = option(1.0, "u starts from U(0, largest); 2^(1/T) for sequences of T steps", above=0.0)

    @property
    def initial(self) -> Mapping[str, Start]:  # type: ignore[override]
        k = (6 / 65) ** 0.5
        return {"u": Uniform(0.0, self.largest), "W": Scaled(Uniform(-k, k))}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"h": relu(a.z + p.u * s.h)}, {}
