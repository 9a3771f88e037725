"""Stackable recurrent cell."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class STAR(Cell):
    """Stackable recurrent cell: one gate, made so that gradients keep their size through layers.

    ```
    k = sigmoid(W_k x + R h + b_k)          gate
    z = tanh(W_z x + b_z)
    h = tanh((1 - k) . h + k . z)
    ```

    Bounds: |h| < tanh(1) from |h_0| <= 1. Cost: H(2D + H + 2) parameters and 2H(2D + H) + 7H FLOPs a step.

    Differs from the paper: nothing in the equations; its weights start orthogonal. The authors' code computes another cell, with
    the gates of `janet`: h = tanh(sigmoid(a) . h + (1 - sigmoid(a - 1)) . z). The factor on the old state is (1 - k) . (1 - h^2),
    which is not a gate, so that the cell has no timescales.

    References:
        Turkoglu, D'Aronco, Wegner & Schindler 2021, IEEE TPAMI (arXiv 1911.11033).
    """

    family = "gated units"
    gates = {"k": "input", "z": "block_input"}
    sources = {"z": "input"}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        k, z = sigmoid(a.k), tanh(a.z)
        h = tanh((1 - k) * s.h + k * z)
        return {"h": h}, {"input": k}
