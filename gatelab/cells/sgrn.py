"""Simple gated recurrent network."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class SGRN(Cell):
    """Simple gated recurrent network: gate and candidate share one product with the input.

    ```
    p = W x + b_p
    f = sigmoid(p + R h + b_q)              gate
    h = tanh((1 - f) . p + f . h)
    ```

    Bounds: |h| < 1. Cost: H(D + H + 2) parameters and 2H(D + H) + 7H FLOPs a step.

    Differs from the paper: its candidate is W x without a bias; b_p starts from 0. The factor on the old state is f . (1 - h^2),
    which is not a gate, so that the cell has no timescales.

    References:
        IET Generation, Transmission & Distribution 2021, DOI 10.1049/gtd2.12056, as transcribed in torchrecurrent 0.2.5.
    """

    family = "gated units"
    gates = {"p": "content", "q": "history"}
    sources = {"p": "input", "q": "recurrent"}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f = sigmoid(a.p + a.q)
        h = tanh((1 - f) * a.p + f * s.h)
        return {"h": h}, {"carry": f}
