"""LSTM without output gate."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import OdysseyCell, bias_option


@dataclass(frozen=True)
class NOG(OdysseyCell):
    """LSTM that always outputs its cell state: o = 1.

    ```
    i = sigmoid(W_i x + R_i h + b_i)
    f = sigmoid(W_f x + R_f h + b_f)
    z = tanh(W_z x + R_z h + b_z)
    c = f . c + i . z
    h = tanh(c)
    ```

    Bounds: |h| < 1; |c| grows by less than 1 a step.

    Differs from the paper: the baseline of Greff et al. has peepholes, here they are off unless `peepholes=true` adds p . c(t-1)
    to i and f. The forget bias of 1 is not theirs.

    References:
        Greff et al. 2017, IEEE TNNLS 28(10), variant NOG.
        Jozefowicz, Zaremba & Sutskever 2015, PMLR 37, LSTM-o.
    """

    gates = {"i": "input", "f": "forget", "z": "block_input"}
    state = ("h", "c")

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f, z = sigmoid(self.peep(a, p, "i", s.c)), sigmoid(self.peep(a, p, "f", s.c)), tanh(a.z)
        c = f * s.c + i * z
        return {"h": tanh(c), "c": c}, {"input": i, "forget": f}
