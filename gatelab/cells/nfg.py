"""LSTM without forget gate."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import OdysseyCell


@dataclass(frozen=True)
class NFG(OdysseyCell):
    """LSTM that never forgets: f = 1, which leaves the constant error carousel.

    ```
    i = sigmoid(W_i x + R_i h + b_i)
    z = tanh(W_z x + R_z h + b_z)
    c = c + i . z
    o = sigmoid(W_o x + R_o h + b_o)
    h = o . tanh(c)
    ```

    Bounds: |h| < 1; |c| grows by less than 1 a step and need not shrink again.

    Differs from the paper: the baseline of Greff et al. has peepholes, here they are off unless `peepholes=true` adds p . c(t-1)
    to i and p . c(t) to o. The cell of 1997 has no forget gate either, but other squashing functions and truncated gradients.

    References:
        Greff et al. 2017, IEEE TNNLS 28(10), variant NFG.
        Jozefowicz, Zaremba & Sutskever 2015, PMLR 37, LSTM-f.
    """

    gates = {"i": "input", "z": "block_input", "o": "output"}
    state = ("h", "c")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, z = sigmoid(self.peep(a, p, "i", s.c)), tanh(a.z)
        c = s.c + i * z
        o = sigmoid(self.peep(a, p, "o", c))
        h = o * tanh(c)
        return {"h": h, "c": c}, {"input": i, "output": o}
