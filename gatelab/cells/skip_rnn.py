"""Skip RNN: an LSTM that decides how many steps to skip."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, minimum, sigmoid, tanh, where

from gatelab.cells import Cell, Constant, bias_option, total


@dataclass(frozen=True)
class SkipRNN(Cell):
    """LSTM with a binary update gate for the whole state: it says after an update how soon the next one follows.

    ```
    q~ = q(t-1) + min(1 - d(t-1), 1 - q(t-1))          probability of an update, summed up since the last one
    u = 1 if q~ > 1/2 else 0                           update gate; its derivative by q~ is taken as 1
    c~, h~ = LSTM(x, h(t-1), c(t-1))
    c = u c~ + (1 - u) c(t-1)
    h = u h~ + (1 - u) h(t-1)
    d = u sigmoid(-(w . c~ + v)) + (1 - u) d(t-1)      1 - d: what is added to q at each step; w . c~ is one number of all units
    q = (1 - u) q~
    ```

    The state starts from 0, so that the first step is an update.

    Bounds: |h| <= 1 from |h_0| <= 1; |c| grows by less than 1 a step.

    Cost: 4 (D + H + 1) H + H + 1 parameters, 8 (D + H) H FLOPs a step, also of a step that is skipped.

    Differs from the paper: a skipped step takes as long as another one, and the loss has no term for the number of updates, so that
    only the task asks for few. In the authors' code the initial h and c are learned.

    References:
        Campos, Jou, Giro-i-Nieto, Torres & Chang 2018, ICLR (arXiv 1708.06834).
    """

    family = "delays and clocks"
    gates = {"i": "input", "f": "forget", "z": "block_input", "o": "output"}
    state = ("h", "c", "d", "q")
    vectors = ("w", "v")
    scalars = ("v",)
    initial = {"v": Constant(1.0)}
    retention = "carry"
    straight_through = ("update",)

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f, z, o = sigmoid(a.i), sigmoid(a.f), tanh(a.z), sigmoid(a.o)
        due = s.q + minimum(1 - s.d, 1 - s.q)
        u = due + where(due > 0.5, 1 - due, -due).detach()  # exactly 1 or 0
        c = f * s.c + i * z
        d = sigmoid(-(total(p.w * c) + p.v))
        new = {"h": u * o * tanh(c) + (1 - u) * s.h, "c": u * c + (1 - u) * s.c, "d": u * d + (1 - u) * s.d, "q": (1 - u) * due}
        return new, {"input": i, "forget": f, "output": o, "update": u, "carry": u * f + (1 - u)}
