"""GRU with refined gates that start uniform: the UR-GRU."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, UniformGate


@dataclass(frozen=True)
class URGRU(Cell):
    """GRU whose update gate is refined by a second one and starts with all timescales from 1 to H.

    ```
    z = sigmoid(W_z x + R_z h + b_z + v)        update gate, keeps where it is 1
    r = sigmoid(W_r x + R_r h + b_r - v)        refine gate; the same v
    g = r . (1 - (1 - z)^2) + (1 - r) . z^2     effective gate, = 2 r z + (1 - 2 r) z^2
    k = sigmoid(W_k x + R_k h + b_k)            reset gate, an ordinary one
    n = tanh(W_n x + R_n (k . h) + b_n)
    h = g . h + (1 - g) . n
    ```

    v starts from logit(u), u ~ U[1/H, 1 - 1/H], and is trained.

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination. Cost: 4 (D + H + 1) H + H parameters.

    Differs from the paper: its b_z is v here, as in `ur_lstm`. Whether g keeps or writes was not read in the paper; in the code
    that one of its authors published with S4 it writes. Both are one model: 1 - g is the effective gate of 1 - z and 1 - r, so
    that they differ in the signs of weights that are symmetric at the start.

    References:
        Gu, Gulcehre, Paine, Hoffman & Pascanu 2020, ICML (arXiv 1910.09890): gates for recurrent models besides the LSTM.
    """

    family = "GRU"
    gates = {"z": "update", "r": "refine", "k": "reset", "n": "candidate"}
    vectors = ("v",)
    initial = {"v": UniformGate()}
    late = {"n": "w"}
    retention = "effective"

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"w": sigmoid(a.k) * s.h}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        z, r, n = sigmoid(a.z + p.v), sigmoid(a.r - p.v), tanh(a.n)
        g = r * (1 - (1 - z) * (1 - z)) + (1 - r) * z * z
        gates = {"update": z, "refine": r, "effective": g, "reset": sigmoid(a.k)}
        return {"h": g * s.h + (1 - g) * n}, gates
