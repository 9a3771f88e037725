"""Rectified network that starts as the identity: the IRNN."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, relu

from gatelab.cells import Cell, Identity, Normal, Start
from gatelab.options import option


@dataclass(frozen=True)
class IRNN(Cell):
    """Rectified network without gates, which starts from the identity and at first adds up its inputs.

    ```
    h = max(0, W x + R h + b)        R starts as the identity, W from N(0, 0.001^2), b from 0
    ```

    Bounds: h >= 0; |h| is not bounded, and training needs clipped gradients.

    Cost: (D + H + 1) H parameters, 2 (D + H) H FLOPs a step and the rectifier.

    Differs from the paper: nothing. Its networks for speech start from a smaller factor than 1 on the identity.

    References:
        Le, Jaitly & Hinton 2015, arXiv 1504.00941.
    """

    family = "no gates"
    gates = {"z": "block_input"}

    scale: float = option(1.0, "factor on the identity that R starts from", above=0.0)

    @property
    def initial(self) -> Mapping[str, Start]:  # type: ignore[override]
        return {"W": Normal(0.001), "R": Identity(self.scale)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"h": relu(a.z)}, {}
