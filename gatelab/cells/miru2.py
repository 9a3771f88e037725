"""Minimal recurrent unit without gates: constants in the place of both."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, tanh

from gatelab.cells import Cell
from gatelab.options import option


@dataclass(frozen=True)
class MiRU2(Cell):
    """Minimal recurrent unit without gates: constants stand for the reset and the update gate of a GRU.

    ```
    n = tanh(W_n x + R_n (reset h) + b_n)   candidate; reset is an option
    h = mix h + (1 - mix) n                 mix is an option
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination. Cost: one third of `gru_cho`.

    Differs from the paper: both constants are one number for all units, where the paper has one for each; none of them is
    trained.

    References:
        2026, Neurocomputing (doi 10.1016/j.neucom.2026.132847), MiRU2.
    """

    family = "GRU"
    gates = {"n": "candidate"}
    late = {"n": "v"}

    mix: float = option(0.5, "share of the old state in the new one", minimum=0.0, maximum=1.0)
    reset: float = option(0.5, "factor on the state that the candidate reads", minimum=0.0, maximum=1.0)

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"v": self.reset * s.h}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"h": self.mix * s.h + (1 - self.mix) * tanh(a.n)}, {}
