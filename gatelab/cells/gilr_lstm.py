"""LSTM whose gates see a linear surrogate of its state: the GILR-LSTM."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, bias_option


@dataclass(frozen=True)
class GILRLSTM(Cell):
    """LSTM whose gates see a gated average of its inputs in place of its state; the GILR-LSTM.

    ```
    g = sigmoid(W_g x + b_g)                    keeps the surrogate
    u = tanh(W_u x + b_u)
    s = g . s + (1 - g) . u                     surrogate of h
    i = sigmoid(W_i x + R_i s + b_i)            input gate; the NEW s
    f = sigmoid(W_f x + R_f s + b_f)            forget gate
    z = tanh(W_z x + R_z s + b_z)               block input
    o = sigmoid(W_o x + R_o s + b_o)            output gate
    c = f . c + i . z
    h = o . c
    ```

    Bounds: |s| <= 1 from |s_0| <= 1; |c| grows by less than 1 a step; |h| <= |c|. Cost: six input matrices and four square ones,
    where `lstm` has four of each.

    Differs from the paper: the equations were read in the authors' code, whose gates see the surrogate of the same step. The
    forget bias of 1 is not in it. The kernels run a loop; a scan over time is not implemented.

    References:
        Martin & Cundy 2018, ICLR (arXiv 1709.04057), Sec. 3; eamartin/parallelizing_linear_rnns.
    """

    family = "LSTM"
    gates = {"g": "surrogate", "u": "surrogate_input", "i": "input", "f": "forget", "z": "block_input", "o": "output"}
    state = ("h", "c", "s")
    sources = {"g": "input", "u": "input"}
    late = dict.fromkeys(("i", "f", "z", "o"), "new")

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")

    def surrogate(self, a: Any, s: Any) -> Tensor:
        g = sigmoid(a.g)
        return g * s.s + (1 - g) * tanh(a.u)

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"new": self.surrogate(a, s)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f, o = sigmoid(a.i), sigmoid(a.f), sigmoid(a.o)
        c = f * s.c + i * tanh(a.z)
        gates = {"surrogate": sigmoid(a.g), "input": i, "forget": f, "output": o}
        return {"h": o * c, "c": c, "s": self.surrogate(a, s)}, gates
