"""GRU whose gate and candidate see the input alone: the minGRU."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, where

from gatelab.cells import Cell
from gatelab.options import option


@dataclass(frozen=True)
class MinGRU(Cell):
    """Minimal gated recurrent unit without a recurrent product, linear in its state.

    ```
    z = sigmoid(W_z x + b_z)        update gate, which writes
    n = W_n x + b_n                 candidate; with `positive`, g(W_n x + b_n), g(a) = a + 1/2 from 0 on and sigmoid(a) below
    h = (1 - z) . h + z . n
    ```

    Bounds: |h| is not bounded, as n is not, though h is a convex combination of its old value and n.

    Cost: 2 (D + 1) H parameters, 4 D H FLOPs a step.

    Differs from the paper: nothing; its experiments use the form in the logarithm, which is `positive`, and start from h_0 > 0.

    References:
        Feng, Tung, Ahmed, Bengio & Hajimirsadeghi 2024, arXiv 2410.01201, Sec. 3.1; App. B: the form in the logarithm.
        Martin & Cundy 2018, ICLR (arXiv 1709.04057): the same recurrence as GILR.
    """

    family = "gates of the input alone"
    gates = {"z": "update", "n": "candidate"}
    sources = {"z": "input", "n": "input"}

    positive: bool = option(False, "the candidate passes through g, so that h stays positive")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        z, n = sigmoid(a.z), a.n
        if self.positive:
            n = where(n >= 0, n + 0.5, sigmoid(n))
        f = 1 - z
        return {"h": f * s.h + z * n}, {"update": z, "forget": f}
