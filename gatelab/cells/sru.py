"""Simple recurrent unit: its gates see their own unit's state alone, and its output mixes the input in."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid

from gatelab.cells import Cell, Scaled, Start, Uniform, bias_option
from gatelab.options import option


@dataclass(frozen=True)
class SRU(Cell):
    """Simple recurrent unit: without a recurrent matrix, and with a highway past the unit.

    ```
    f = sigmoid(W_f x + v_f . c(t-1) + b_f)
    r = sigmoid(W_r x + v_r . c(t-1) + b_r)
    z = W_z x + b_z
    c = f . c(t-1) + (1 - f) . z
    h = r . c + (1 - r) . alpha x         x: W_x x where D differs from H
    ```

    alpha is sqrt(1 + 2 exp(highway_bias)), with which h starts with the variance of x.

    Bounds: |h| is not bounded, as x is not.

    Cost: 3 (D + 1) H + 2 H parameters, 6 D H FLOPs a step; H D more, and 2 D H, where D differs from H.

    Differs from the paper: z has a bias, 0 at the start. The paper has no activation of c, as here; that of its first version was
    tanh, its gates did not see c, and alpha was 1 (`rescale=false`).

    References:
        Lei, Zhang, Wang, Dai & Artzi 2018, EMNLP (arXiv 1709.02755), Sec. 3.
    """

    family = "diagonal recurrence"
    gates = {"f": "forget", "r": "highway", "z": "value", "x": "raw_input"}
    sources = {"f": "input", "r": "input", "z": "input", "x": "raw"}
    state = ("h", "c")
    vectors = ("v_f", "v_r")

    highway_bias: float = bias_option("r", 0.0, "initial bias of 'highway': below 0, the output starts closer to the input")
    rescale: bool = option(True, "the input is multiplied by sqrt(1 + 2 exp(highway_bias)) on the highway")

    @property
    def initial(self) -> Mapping[str, Start]:  # type: ignore[override]
        wide, narrow = math.sqrt(3), math.sqrt(1.5)
        gate = Scaled(Uniform(-narrow, narrow))
        v = Uniform(-narrow, narrow)
        return {
            "W": Scaled(Uniform(-wide, wide)),
            "W.f": gate,
            "W.r": gate,
            "W_x": Scaled(Uniform(-wide, wide)),
            "v_f": v,
            "v_r": v,
        }

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f, r = sigmoid(a.f + p.v_f * s.c), sigmoid(a.r + p.v_r * s.c)
        c = f * s.c + (1 - f) * a.z
        alpha = math.sqrt(1 + 2 * math.exp(self.highway_bias)) if self.rescale else 1.0
        return {"h": r * c + (1 - r) * (alpha * a.x), "c": c}, {"forget": f, "highway": r}
