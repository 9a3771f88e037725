"""Minimal recurrent unit with a reset gate and a constant mix."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell
from gatelab.options import option


@dataclass(frozen=True)
class MiRU1(Cell):
    """Minimal recurrent unit with a reset gate: a constant mixes the state with its candidate.

    ```
    r = sigmoid(W_r x + R_r h + b_r)        reset gate
    n = tanh(W_n x + R_n (r . h) + b_n)     candidate
    h = mix h + (1 - mix) n                 mix is an option
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination. Cost: two thirds of `gru_cho`.

    Differs from the paper: the mix is one number for all units, where the paper has one for each; none of them is trained.

    References:
        2026, Neurocomputing (doi 10.1016/j.neucom.2026.132847), MiRU1.
    """

    family = "GRU"
    gates = {"r": "reset", "n": "candidate"}
    late = {"n": "v"}

    mix: float = option(0.5, "share of the old state in the new one", minimum=0.0, maximum=1.0)

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"v": sigmoid(a.r) * s.h}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        r, n = sigmoid(a.r), tanh(a.n)
        h = self.mix * s.h + (1 - self.mix) * n
        return {"h": h}, {"reset": r}
