"""Recurrent additive network."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, bias_option
from gatelab.options import option


@dataclass(frozen=True)
class RAN(Cell):
    """Recurrent additive network: a state that is a gated sum of linear functions of the inputs.

    ```
    i = sigmoid(W_i x + R_i h + b_i)        input gate
    f = sigmoid(W_f x + R_f h + b_f)        forget gate
    z = W_z x + b_z                         content
    c = i . z + f . c
    h = tanh(c)                             h = c with `squashed=false`
    ```

    Bounds: |h| <= |c|; |c| can grow by more than 1 a step.
    Cost: H(3D + 2H + 3) parameters and 2H(3D + 2H) + 6H FLOPs a step.

    Differs from the paper: its content has no bias; this one starts from 0. The forget bias of 1 is not theirs.

    Args:
        squashed: whether the output is tanh(c); the paper has both forms.

    References:
        Lee, Levy & Zettlemoyer 2017, arXiv 1705.07393.
    """

    family = "gated units"
    gates = {"i": "input", "f": "forget", "z": "content"}
    state = ("h", "c")
    sources = {"z": "input"}

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")
    squashed: bool = option(True, "whether the output is tanh(c) or c")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f = sigmoid(a.i), sigmoid(a.f)
        c = i * a.z + f * s.c
        h = tanh(c) if self.squashed else c
        return {"h": h, "c": c}, {"input": i, "forget": f}
