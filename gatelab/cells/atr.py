"""Addition-subtraction twin-gated recurrent network."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid

from gatelab.cells import Cell


@dataclass(frozen=True)
class ATR(Cell):
    """Addition-subtraction twin-gated network: both gates come from one pair of products.

    ```
    p = W x + b_p
    q = R h + b_q
    i = sigmoid(p + q)                      input gate
    f = sigmoid(p - q)                      forget gate
    h = i . p + f . h
    ```

    Bounds: |h| can grow by more than 1 a step. Cost: H(D + H + 2) parameters and 2H(D + H) + 7H FLOPs a step.

    Differs from the paper: it has no biases, these start from 0. The authors' PyTorch code has both and draws them.

    References:
        Zhang, Xiong, Su, Lin & Zhang 2018, EMNLP (arXiv 1810.12546).
    """

    family = "gated units"
    gates = {"p": "content", "q": "history"}
    sources = {"p": "input", "q": "recurrent"}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f = sigmoid(a.p + a.q), sigmoid(a.p - a.q)
        h = i * a.p + f * s.h
        return {"h": h}, {"input": i, "forget": f}
