"""The third mutation of Jozefowicz et al."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class MUT3(Cell):
    """Third of the three units that a search over architectures found: the update gate sees the squashed state.

    ```
    z = sigmoid(W_z x + R_z tanh(h) + b_z)              writes where it is 1
    r = sigmoid(W_r x + R_r h + b_r)                    reset gate
    n = tanh(W_n x + R_n (r . h) + b_n)                 candidate
    h = (1 - z) . h + z . n
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination. Cost: that of `gru_cho`.

    Differs from the paper: nothing.

    References:
        Jozefowicz, Zaremba & Sutskever 2015, "An empirical exploration of recurrent network architectures", PMLR 37, MUT3.
    """

    family = "GRU"
    gates = {"z": "update", "r": "reset", "n": "candidate"}
    late = {"z": "t", "n": "v"}
    retention = "kept"

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"t": tanh(s.h), "v": sigmoid(a.r) * s.h}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        z, r, n = sigmoid(a.z), sigmoid(a.r), tanh(a.n)
        kept = 1 - z
        h = kept * s.h + z * n
        return {"h": h}, {"update": z, "reset": r, "kept": kept}
