"""Quasi-recurrent network: gates from a window of inputs, none from the state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell
from gatelab.options import option


@dataclass(frozen=True)
class QRNN(Cell):
    """Quasi-recurrent network with fo-pooling: a causal convolution of the inputs makes all gates.

    ```
    z = tanh(W_z x + W_z1 x(t-1) + ... + b_z)           as far back as the window reaches
    f = sigmoid(W_f x + W_f1 x(t-1) + ... + b_f)        forget gate
    o = sigmoid(W_o x + W_o1 x(t-1) + ... + b_o)        output gate
    c = f . c(t-1) + (1 - f) . z
    h = o . c
    ```

    Inputs before the first step of a sequence are 0.

    Bounds: |c| <= 1 from |c_0| <= 1; |h| <= |c|.

    Cost: 3 (window D + 1) H parameters, 6 window D H FLOPs a step.

    Differs from the paper: f-pooling, which has no output gate, ifo-pooling, which has an input gate, and zoneout are left out.
    In the authors' code f is the share that is written, in the paper and here the share that is kept.

    References:
        Bradbury, Merity, Xiong & Socher 2017, ICLR (arXiv 1611.01576).
    """

    family = "gates of the input alone"
    gates = {"z": "candidate", "f": "forget", "o": "output"}
    sources = {"z": "input", "f": "input", "o": "input"}
    state = ("h", "c")

    window: int = option(2, "inputs that are read: the last and those before it", minimum=1)

    @property
    def delay(self) -> Mapping[str, int]:  # type: ignore[override]
        return {"x": self.window - 1} if self.window > 1 else {}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f, o = sigmoid(a.f), sigmoid(a.o)
        c = f * s.c + (1 - f) * tanh(a.z)
        return {"h": o * c, "c": c}, {"forget": f, "output": o}
