"""RNN with multiplicative integration."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, tanh

from gatelab.cells import Cell, Constant


@dataclass(frozen=True)
class MIRNN(Cell):
    """RNN in which input and state also meet in a product: multiplicative integration.

    ```
    u = W x + b_u
    v = R h + b_v
    h = tanh(alpha . u . v + beta_u . u + beta_v . v)
    ```

    Bounds: |h| < 1. Cost: H(D + H + 5) parameters and 2H(D + H) + 7H FLOPs a step.

    Differs from the paper: one bias is added there behind the sum; the two here are within the factors and can express the same.
    All of alpha and beta start from 1; the paper chooses these values for each task.

    References:
        Wu, Zhang, Zhang, Bengio & Salakhutdinov 2016, NeurIPS (arXiv 1606.06630), Sec. 2.
    """

    family = "no gates"
    gates = {"z": "block_input", "z_h": "block_input_history"}
    sources = {"z": "input", "z_h": "recurrent"}
    vectors = ("alpha_z", "beta_z", "beta_z_h")
    initial = dict.fromkeys(vectors, Constant(1.0))

    def integrated(self, a: Any, p: Any, name: str) -> Tensor:
        """The pre-activation of that name from its part of the input and its part of the state."""
        u, v = getattr(a, name), getattr(a, f"{name}_h")
        return getattr(p, f"alpha_{name}") * u * v + getattr(p, f"beta_{name}") * u + getattr(p, f"beta_{name}_h") * v

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"h": tanh(self.integrated(a, p, "z"))}, {}
