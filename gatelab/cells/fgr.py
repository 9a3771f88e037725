"""LSTM with full gate recurrence."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import OdysseyCell, bias_option


@dataclass(frozen=True)
class FGR(OdysseyCell):
    """LSTM whose gates see all gates of the step before: y = [h, i, f, o] is fed back.

    ```
    i = sigmoid(W_i x + R_i y + b_i)
    f = sigmoid(W_f x + R_f y + b_f)
    z = tanh(W_z x + R_z y + b_z)
    c = f . c + i . z
    o = sigmoid(W_o x + R_o y + b_o)
    h = o . tanh(c)
    ```

    Bounds: |h| < 1; |c| grows by less than 1 a step. Cost: R is four times as wide as that of `lstm`.

    Differs from the paper: there the block input sees h alone, which makes nine matrices beside those of the LSTM; here it sees the
    gates, too, which makes twelve. The baseline of Greff et al. has peepholes, here they are off unless `peepholes=true` adds
    p . c(t-1) to i and f and p . c(t) to o. The forget bias of 1 is not theirs.

    References:
        Greff et al. 2017, IEEE TNNLS 28(10), variant FGR.
        Hochreiter & Schmidhuber 1997, Neural Computation 9(8), whose gates see gates, too.
    """

    gates = {"i": "input", "f": "forget", "z": "block_input", "o": "output"}
    state = ("h", "c", "i", "f", "o")
    feedback = ("h", "i", "f", "o")

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f, z = sigmoid(self.peep(a, p, "i", s.c)), sigmoid(self.peep(a, p, "f", s.c)), tanh(a.z)
        c = f * s.c + i * z
        o = sigmoid(self.peep(a, p, "o", c))
        h = o * tanh(c)
        return {"h": h, "c": c, "i": i, "f": f, "o": o}, {"input": i, "forget": f, "output": o}
