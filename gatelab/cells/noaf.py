"""LSTM without output activation."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import OdysseyCell, bias_option


@dataclass(frozen=True)
class NOAF(OdysseyCell):
    """LSTM that outputs its cell state without squashing: h = o . c.

    ```
    i = sigmoid(W_i x + R_i h + b_i)
    f = sigmoid(W_f x + R_f h + b_f)
    z = tanh(W_z x + R_z h + b_z)
    c = f . c + i . z
    o = sigmoid(W_o x + R_o h + b_o)
    h = o . c
    ```

    Bounds: |c| grows by less than 1 a step; |h| <= |c|.

    Differs from the paper: the baseline of Greff et al. has peepholes, here they are off unless `peepholes=true` adds p . c(t-1)
    to i and f and p . c(t) to o. The forget bias of 1 is not theirs.

    References:
        Greff et al. 2017, IEEE TNNLS 28(10), variant NOAF.
        Gers, Schraudolph & Schmidhuber 2002, JMLR 3, whose cells output their state in the same way.
    """

    gates = {"i": "input", "f": "forget", "z": "block_input", "o": "output"}
    state = ("h", "c")

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f, z = sigmoid(self.peep(a, p, "i", s.c)), sigmoid(self.peep(a, p, "f", s.c)), tanh(a.z)
        c = f * s.c + i * z
        o = sigmoid(self.peep(a, p, "o", c))
        return {"h": o * c, "c": c}, {"input": i, "forget": f, "output": o}
