"""The first mutation of Jozefowicz et al."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class MUT1(Cell):
    """First of the three units that a search over architectures found: the update gate sees the input alone.

    ```
    z = sigmoid(W_z x + b_z)                            writes where it is 1
    r = sigmoid(W_r x + R_r h + b_r)                    reset gate
    n = tanh(R_n (r . h) + tanh(W_e x + b_e) + b_n)     candidate
    h = (1 - z) . h + z . n
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination.

    Differs from the paper: there tanh(x) stands for tanh(W_e x + b_e), which needs an input as wide as the state; theirs were
    learnt embeddings.

    References:
        Jozefowicz, Zaremba & Sutskever 2015, "An empirical exploration of recurrent network architectures", PMLR 37, MUT1.
    """

    family = "GRU"
    gates = {"z": "update", "r": "reset", "e": "embedding", "n": "candidate"}
    sources = {"z": "input", "e": "input", "n": "recurrent"}
    late = {"n": "v"}
    retention = "kept"

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"v": sigmoid(a.r) * s.h}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        z, r, n = sigmoid(a.z), sigmoid(a.r), tanh(a.n + tanh(a.e))
        kept = 1 - z
        h = kept * s.h + z * n
        return {"h": h}, {"update": z, "reset": r, "kept": kept}
