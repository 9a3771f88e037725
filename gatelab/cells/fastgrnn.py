"""Gated unit whose gate and candidate share their matrices."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, Constant, bias_option


@dataclass(frozen=True)
class FastGRNN(Cell):
    """Gated unit whose gate and candidate share W and R, with two numbers for the whole layer.

    ```
    q = W x + R h + b
    z = sigmoid(q)                          update gate
    n = tanh(q + d)
    h = (sigmoid(zeta) . (1 - z) + sigmoid(nu)) . n + z . h
    ```

    Bounds: |h| grows by less than 2 a step. Cost: H(D + H + 2) + 2 parameters and 2H(D + H) + 11H FLOPs a step.

    Differs from the paper: its biases are b_z = b and b_h = b + d. b starts from 1, d from 0, zeta from 1 and nu from -4, as in
    the authors' code. Their weights start from N(0, 0.1^2); W and R can have low rank, be sparse and be quantised.

    References:
        Kusupati, Singh, Bhatia, Kumar, Jain & Varma 2018, NeurIPS (arXiv 1901.02358), Sec. 3.2; microsoft/EdgeML.
    """

    family = "tiny"
    gates = {"q": "content"}
    vectors = ("d", "zeta", "nu")
    scalars = ("zeta", "nu")
    initial = {"d": Constant(0.0), "zeta": Constant(1.0), "nu": Constant(-4.0)}
    retention = "update"

    content_bias: float = bias_option("q", 1.0, "initial bias of gate and candidate")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        z, n = sigmoid(a.q), tanh(a.q + p.d)
        write = sigmoid(p.zeta) * (1 - z) + sigmoid(p.nu)
        h = write * n + z * s.h
        return {"h": h}, {"update": z}
