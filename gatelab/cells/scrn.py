"""Structurally constrained recurrent network: a slow context beside the hidden units."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid

from gatelab.cells import Cell
from gatelab.options import option


@dataclass(frozen=True)
class SCRN(Cell):
    """Structurally constrained network: units without gates see a context that forgets at a fixed, slow rate.

    ```
    s = (1 - alpha) (W_s x + b_s) + alpha s         slow context; alpha is an option
    h = sigmoid(W_h x + R_h h + P_h s + b_h)        sees the new context
    ```

    Bounds: |h| < 1. Cost: 2HD + 2H^2 + 2H parameters. s averages W_s x + b_s and is as large as that.

    Differs from the paper: it has no biases, a context of its own width (here both have H units), and a decoder that reads s
    besides h; here only h is the output. R_h and P_h lie side by side in the parameter R_h. torchrecurrent 0.2.5 feeds its
    output back and learns alpha, which is another model.

    References:
        Mikolov, Joulin, Chopra, Mathieu & Ranzato 2015, ICLR workshop (arXiv 1412.7753), Sec. 3.
    """

    family = "no gates"
    gates = {"s": "context", "h": "hidden"}
    state = ("h", "s")
    sources = {"s": "input"}
    late = {"h": ("h", "new")}

    alpha: float = option(0.95, "share of the old context in the new one", minimum=0.0, maximum=1.0)

    def context(self, a: Any, s: Any) -> Tensor:
        return (1 - self.alpha) * a.s + self.alpha * s.s

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"new": self.context(a, s)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"h": sigmoid(a.h), "s": self.context(a, s)}, {}
