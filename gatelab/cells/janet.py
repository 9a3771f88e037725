"""LSTM with a forget gate alone."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, bias_option
from gatelab.options import option


@dataclass(frozen=True)
class JANET(Cell):
    """Just another network: an LSTM whose forget gate is its only gate.

    ```
    a = W_f x + R_f h + b_f
    f = sigmoid(a)                          forget gate
    i = 1 - sigmoid(a - beta)               more than 1 - f
    z = tanh(W_z x + R_z h + b_z)
    h = f . h + i . z
    ```

    Bounds: |h| < exp(beta) from |h_0| <= 1, since i < (1 - f) exp(beta).
    Cost: 2H(D + H + 1) parameters and 4H(D + H) + 8H FLOPs a step.

    Differs from the paper: there b_f is drawn for the longest sequence, which is `init=chrono`; here it starts from 1.

    Args:
        beta: how much more is written than forgotten; at 0 the cell is `gated_leaky`.

    References:
        van der Westhuizen & Lasenby 2018, arXiv 1804.04849.
    """

    family = "gated units"
    gates = {"f": "forget", "z": "block_input"}

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")
    beta: float = option(1.0, "how much more is written than forgotten, inside the sigmoid", minimum=0.0)

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f, i, z = sigmoid(a.f), 1 - sigmoid(a.f - self.beta), tanh(a.z)
        h = f * s.h + i * z
        return {"h": h}, {"forget": f, "input": i}
