"""LSTM whose gates see the input alone and are normalised to sum to 1: the minLSTM."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, where
from torch.nn.functional import logsigmoid

from gatelab.cells import Cell
from gatelab.options import option


@dataclass(frozen=True)
class MinLSTM(Cell):
    """Minimal LSTM without a recurrent product, an output gate and a cell state, with gates that are normalised.

    ```
    f = sigmoid(W_f x + b_f)        i = sigmoid(W_i x + b_i)
    n = W_n x + b_n                 candidate; with `positive`, g(W_n x + b_n), g(a) = a + 1/2 from 0 on and sigmoid(a) below
    k = f / (f + i)                 effective gate, computed as sigmoid(log f - log i), which is not 0/0 where f and i vanish
    h = k . h + (1 - k) . n
    ```

    Bounds: |h| is not bounded, as n is not, though h is a convex combination of its old value and n.

    Cost: 3 (D + 1) H parameters, 6 D H FLOPs a step.

    Differs from the paper: nothing; its experiments use the form in the logarithm, which is `positive`, and start from h_0 > 0.

    References:
        Feng, Tung, Ahmed, Bengio & Hajimirsadeghi 2024, arXiv 2410.01201, Sec. 3.2; App. B: the form in the logarithm.
    """

    family = "gates of the input alone"
    gates = {"f": "forget", "i": "input", "n": "candidate"}
    sources = {"f": "input", "i": "input", "n": "input"}
    retention = "effective"

    positive: bool = option(False, "the candidate passes through g, so that h stays positive")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        k, n = sigmoid(logsigmoid(a.f) - logsigmoid(a.i)), a.n
        if self.positive:
            n = where(n >= 0, n + 0.5, sigmoid(n))
        h = k * s.h + (1 - k) * n
        return {"h": h}, {"forget": sigmoid(a.f), "input": sigmoid(a.i), "effective": k}
