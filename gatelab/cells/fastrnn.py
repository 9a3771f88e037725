"""RNN with a weighted residual connection."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh, zeros_like

from gatelab.cells import Cell, Constant


@dataclass(frozen=True)
class FastRNN(Cell):
    """RNN with a residual connection, which two numbers for the whole layer weigh.

    ```
    z = tanh(W x + R h + b)
    h = sigmoid(alpha) . z + sigmoid(beta) . h
    ```

    Bounds: |h| grows by less than 1 a step. Cost: H(D + H + 1) + 2 parameters and 2H(D + H) + 6H FLOPs a step.

    Differs from the paper: nothing in the equations; the scalars start as in the authors' code, sigmoids near 0.05 and 0.95. Their
    weights start from N(0, 0.1^2), and W and R can have low rank. Both sigmoids are returned as gates, so that timescales are
    computed; they are parameters, and no initialisation of gates applies to them.

    References:
        Kusupati, Singh, Bhatia, Kumar, Jain & Varma 2018, NeurIPS (arXiv 1901.02358), Sec. 3.1; microsoft/EdgeML.
    """

    family = "tiny"
    gates = {"z": "block_input"}
    vectors = ("alpha", "beta")
    scalars = ("alpha", "beta")
    initial = {"alpha": Constant(-3.0), "beta": Constant(3.0)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        write, keep = sigmoid(p.alpha), sigmoid(p.beta)
        h = write * tanh(a.z) + keep * s.h
        return {"h": h}, {"input": zeros_like(h) + write, "forget": zeros_like(h) + keep}
