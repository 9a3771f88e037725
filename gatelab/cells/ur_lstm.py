"""LSTM with refined gates that start uniform: the UR-LSTM."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, UniformGate


@dataclass(frozen=True)
class URLSTM(Cell):
    """LSTM whose forget gate is refined by a second one and starts with all timescales from 1 to H.

    ```
    f = sigmoid(W_f x + R_f h + b_f + v)        forget gate
    r = sigmoid(W_r x + R_r h + b_r - v)        refine gate; the same v
    g = r . (1 - (1 - f)^2) + (1 - r) . f^2     effective gate, = 2 r f + (1 - 2 r) f^2
    z = tanh(W_z x + R_z h + b_z)
    o = sigmoid(W_o x + R_o h + b_o)
    c = g . c + (1 - g) . z
    h = o . tanh(c)
    ```

    v starts from logit(u), u ~ U[1/H, 1 - 1/H], and is trained.

    Bounds: |c| <= 1 from |c_0| <= 1; |h| < tanh(1).

    Cost: 4 (D + H + 1) H + H parameters, 8 (D + H) H FLOPs a step, as `lstm`.

    Differs from the paper: nothing in the equations; its b_f is v here, because both gates share it, and b_f, b_r are the
    biases of its linear maps. The code that one of its authors published with S4 keeps v fixed and leaves it out of the refine
    gate.

    References:
        Gu, Gulcehre, Paine, Hoffman & Pascanu 2020, ICML (arXiv 1910.09890), Sec. 3: uniform start and refine gate.
    """

    family = "LSTM"
    gates = {"f": "forget", "r": "refine", "z": "block_input", "o": "output"}
    state = ("h", "c")
    vectors = ("v",)
    initial = {"v": UniformGate()}
    retention = "effective"

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f, r, z, o = sigmoid(a.f + p.v), sigmoid(a.r - p.v), tanh(a.z), sigmoid(a.o)
        g = r * (1 - (1 - f) * (1 - f)) + (1 - r) * f * f
        c = g * s.c + (1 - g) * z
        h = o * tanh(c)
        return {"h": h, "c": c}, {"forget": f, "refine": r, "effective": g, "output": o}
