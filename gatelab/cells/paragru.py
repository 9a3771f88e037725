"""GRU with a diagonal recurrent matrix: the ParaGRU."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, Normal, Scaled
from gatelab.options import option


@dataclass(frozen=True)
class ParaGRU(Cell):
    """Gated recurrent unit in which every unit reads its own state alone, for Newton's iteration over time.

    ```
    z = sigmoid(W_z x + b_z + u_z . h)         update gate, which writes
    r = sigmoid(W_r x + b_r + u_r . h)         reset gate
    n = tanh(W_n x + b_n + u_n . (r . h))      candidate
    h = (1 - z) . h + z . n
    ```

    u is held within [-limit, limit] where it is read, and starts from N(0, 1/H).

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination.

    Cost: 3 (D + 2) H parameters, 6 D H FLOPs a step.

    Differs from the paper: the equations, the limit on u (App. C.1) and its start were read in a re-implementation (pararnn-torch
    0.17.4); W starts as in all cells, there from a uniform distribution of Kaiming's. The Newton iteration is not implemented.

    References:
        Danieli et al. 2025, arXiv 2510.21450, eqs. 3.1a and 3.3.
    """

    family = "diagonal recurrence"
    gates = {"z": "update", "r": "reset", "n": "candidate"}
    sources = {"z": "input", "r": "input", "n": "input"}
    vectors = ("u_z", "u_r", "u_n")
    initial = dict.fromkeys(vectors, Scaled(Normal(1.0)))

    limit: float = option(0.5, "largest magnitude of a recurrent weight", above=0.0)

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        u_z, u_r, u_n = (u.clamp(-self.limit, self.limit) for u in (p.u_z, p.u_r, p.u_n))
        z, r = sigmoid(a.z + u_z * s.h), sigmoid(a.r + u_r * s.h)
        h = (1 - z) * s.h + z * tanh(a.n + u_n * (r * s.h))
        return {"h": h}, {"update": z, "reset": r, "forget": 1 - z}
