"""Minimal gated unit."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class MGU(Cell):
    """Minimal gated unit: one gate resets and updates.

    ```
    f = sigmoid(W_f x + R_f h + b_f)        writes where it is 1
    n = tanh(W_n x + R_n (f . h) + b_n)     candidate
    h = (1 - f) . h + f . n
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination. Cost: two thirds of `gru_cho`.

    Differs from the paper: nothing. The paper calls f the forget gate, although f = 1 replaces the state; 1 - f, which keeps it, is
    returned as the gate `kept`.

    References:
        Zhou, Wu, Zhang & Zhou 2016, "Minimal gated unit for recurrent neural networks", arXiv 1603.09420.
    """

    family = "GRU"
    gates = {"f": "forget", "n": "candidate"}
    late = {"n": "v"}
    retention = "kept"

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"v": sigmoid(a.f) * s.h}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f, n = sigmoid(a.f), tanh(a.n)
        kept = 1 - f
        h = kept * s.h + f * n
        return {"h": h}, {"forget": f, "kept": kept}
