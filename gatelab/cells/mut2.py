"""The second mutation of Jozefowicz et al."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class MUT2(Cell):
    """Second of the three units that a search over architectures found: the reset gate adds the input as it is.

    ```
    e = W_e x + b_e                                     the input, as wide as the state
    z = sigmoid(W_z e + R_z h + b_z)                    writes where it is 1
    r = sigmoid(e + R_r h + b_r)                        reset gate
    n = tanh(W_n e + R_n (r . h) + b_n)                 candidate
    h = (1 - z) . h + z . n
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination. Cost: W_z and W_n are square, since they read e.

    Differs from the paper: there e is the input itself, which needs as many features as units; theirs were learnt embeddings.
    W_z and R_z lie side by side in the parameter R_z, W_n and R_n in R_n. Implementations with r = sigmoid(W_r x + R_r h +
    b_r), where x enters z and n unprojected, compute the unit of `gru_cho`.

    References:
        Jozefowicz, Zaremba & Sutskever 2015, "An empirical exploration of recurrent network architectures", PMLR 37, MUT2.
    """

    family = "GRU"
    gates = {"e": "embedding", "z": "update", "r": "reset", "n": "candidate"}
    sources = {"e": "input", "z": "recurrent", "r": "recurrent", "n": "recurrent"}
    late = {"z": ("e", "h"), "n": ("e", "v")}
    retention = "kept"

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"e": a.e, "v": sigmoid(a.e + a.r) * s.h}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        z, r, n = sigmoid(a.z), sigmoid(a.e + a.r), tanh(a.n)
        kept = 1 - z
        h = kept * s.h + z * n
        return {"h": h}, {"update": z, "reset": r, "kept": kept}
