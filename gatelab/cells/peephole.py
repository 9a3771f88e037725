"""LSTM with peepholes: the baseline of the search space odyssey."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, bias_option


@dataclass(frozen=True)
class Peephole(Cell):
    """LSTM whose gates also see the cell state of their own unit; "V", the vanilla LSTM of Greff et al.

    ```
    i = sigmoid(W_i x + R_i h + p_i . c(t-1) + b_i)
    f = sigmoid(W_f x + R_f h + p_f . c(t-1) + b_f)
    z = tanh(W_z x + R_z h + b_z)
    c = f . c(t-1) + i . z
    o = sigmoid(W_o x + R_o h + p_o . c + b_o)      the NEW cell state
    h = o . tanh(c)
    ```

    Bounds: |h| < 1; |c| grows by less than 1 a step.

    Differs from the paper: Gers et al. 2002 stop the error at the peepholes and use h = o . c; Greff et al. 2017 (after Graves &
    Schmidhuber 2005) use full gradients and tanh, as here. The forget bias of 1 is not theirs.

    References:
        Gers, Schraudolph & Schmidhuber 2002, JMLR 3.
        Graves & Schmidhuber 2005, Neural Networks 18.
        Greff et al. 2017, IEEE TNNLS 28(10).
    """

    family = "LSTM"
    gates = {"i": "input", "f": "forget", "z": "block_input", "o": "output"}
    state = ("h", "c")
    vectors = ("p_i", "p_f", "p_o")

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f, z = sigmoid(a.i + p.p_i * s.c), sigmoid(a.f + p.p_f * s.c), tanh(a.z)
        c = f * s.c + i * z
        o = sigmoid(a.o + p.p_o * c)
        h = o * tanh(c)
        return {"h": h, "c": c}, {"input": i, "forget": f, "output": o}
