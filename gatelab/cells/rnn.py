"""Simple recurrent network, the ungated control."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class RNN(Cell):
    """Simple recurrent network without gates: the RNN of `torch.nn.RNN`.

    ```
    h = tanh(W x + R h + b)
    ```

    Bounds: |h| < 1.

    Differs from the paper: Elman's units are logistic; tanh is the form in use today.

    References:
        Elman 1990, Cognitive Science 14(2).
    """

    family = "no gates"
    gates = {"z": "block_input"}
    peer = torch.nn.RNN

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"h": tanh(a.z)}, {}
