"""Closed-form continuous-time network: a gate that the time between steps moves from one value to another."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class CfC(Cell):
    """Closed-form continuous-time network: the state lies between two values; the time that has passed says where.

    ```
    v = 1.7159 tanh(0.666 (W_z x + R_z h(t-1) + b_z))            backbone
    f = tanh(R_f v + b_f)            g = tanh(R_g v + b_g)
    k = sigmoid((R_r v + b_r) . dt + R_k v + b_k)                dt: time since the step before
    h = (1 - k) . f + k . g
    ```

    Bounds: |h| < 1.

    Cost: (D + 5 H + 5) H parameters, 2 (D + 5 H) H FLOPs a step.

    Differs from the paper: k is that of the authors' code; in the paper it is sigmoid(-f(x, h) t), without the part that does not
    depend on time. The backbone has one layer as wide as the state, where the width and the number of layers are tuned in the
    paper. All weights start as in other cells.

    References:
        Hasani, Lechner, Amini, Liebenwein, Ray, Tschaikowski, Teschl & Rus 2022, Nature Machine Intelligence 4 (arXiv 2106.13898),
            eqs. 5 to 7, and its code, raminmh/CfC, of 2022.
    """

    family = "differential equations"
    gates = {"z": "backbone", "f": "first", "g": "second", "r": "rate", "k": "offset", "dt": "elapsed"}
    sources = {"f": "recurrent", "g": "recurrent", "r": "recurrent", "k": "recurrent", "dt": "time"}
    late = {"f": "v", "g": "v", "r": "v", "k": "v"}

    def before(self, a: Any, s: Any, p: Any) -> Mapping[str, Tensor]:
        return {"v": 1.7159 * tanh(0.666 * a.z)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        k = sigmoid(a.r * a.dt + a.k)
        return {"h": (1 - k) * tanh(a.f) + k * tanh(a.g)}, {"time": k}
