"""LSTM with coupled input and forget gate."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import OdysseyCell, bias_option


@dataclass(frozen=True)
class CIFG(OdysseyCell):
    """LSTM that writes as much as it forgets; its input gate is 1 - f.

    ```
    f = sigmoid(W_f x + R_f h + b_f)        i = 1 - f
    z = tanh(W_z x + R_z h + b_z)
    c = f . c + (1 - f) . z
    o = sigmoid(W_o x + R_o h + b_o)
    h = o . tanh(c)
    ```

    Bounds: |c| <= 1 from |c_0| <= 1, since c is a convex combination; |h| < tanh(1).

    Differs from the paper: the baseline of Greff et al. has peepholes, here they are off unless `peepholes=true` adds p . c(t-1)
    to f and p . c(t) to o. The forget bias of 1 is not theirs.

    References:
        Greff et al. 2017, IEEE TNNLS 28(10), variant CIFG.
    """

    gates = {"f": "forget", "z": "block_input", "o": "output"}
    state = ("h", "c")

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f, z = sigmoid(self.peep(a, p, "f", s.c)), tanh(a.z)
        i = 1 - f
        c = f * s.c + i * z
        o = sigmoid(self.peep(a, p, "o", c))
        h = o * tanh(c)
        return {"h": h, "c": c}, {"input": i, "forget": f, "output": o}
