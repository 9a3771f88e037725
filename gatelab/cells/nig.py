"""LSTM without input gate."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import OdysseyCell, bias_option


@dataclass(frozen=True)
class NIG(OdysseyCell):
    """LSTM without an input gate, which always writes: i = 1.

    ```
    f = sigmoid(W_f x + R_f h + b_f)
    z = tanh(W_z x + R_z h + b_z)
    c = f . c + z
    o = sigmoid(W_o x + R_o h + b_o)
    h = o . tanh(c)
    ```

    Bounds: |h| < 1; |c| grows by less than 1 a step.

    Differs from the paper: the baseline of Greff et al. has peepholes, here they are off unless `peepholes=true` adds p . c(t-1)
    to f and p . c(t) to o. The forget bias of 1 is not theirs.

    References:
        Greff et al. 2017, IEEE TNNLS 28(10), variant NIG.
        Jozefowicz, Zaremba & Sutskever 2015, PMLR 37, LSTM-i.
    """

    gates = {"f": "forget", "z": "block_input", "o": "output"}
    state = ("h", "c")

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f, z = sigmoid(self.peep(a, p, "f", s.c)), tanh(a.z)
        c = f * s.c + z
        o = sigmoid(self.peep(a, p, "o", c))
        h = o * tanh(c)
        return {"h": h, "c": c}, {"forget": f, "output": o}
