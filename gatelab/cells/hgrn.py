"""Gated linear recurrence whose forget gate has a floor that rises from layer to layer: the HGRN, in real numbers."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid

from gatelab.cells import Cell, Depth


@dataclass(frozen=True)
class HGRN(Cell):
    """Hierarchically gated recurrence, real form: a floor of the forget gate lets upper layers remember for longer.

    ```
    m = sigmoid(W_f x + b_f)
    f = floor + (1 - floor) . m         forget gate; floor = min(max(v, 0), 1)
    u = W_u x + b_u
    h = f . h + (1 - f) . u . sigmoid(u)
    ```

    v starts at k/L in layer k = 0 ... L-1 of L: the least timescale of a layer is 1 / log(L/k).

    Bounds: |h| is not bounded, as u is not, though h is a convex combination of its old value and SiLU(u).

    Cost: 2 (D + 1) H + H parameters, 4 D H FLOPs a step.

    Differs from the paper: h is real, as in flash-linear-attention and in HGRN2; the paper's is complex, with a learned
    rotation of each unit, and its block has an output gate and a norm behind the recurrence. There the floors of all layers are
    a cumulative softmax of one matrix, so that they can only rise, and the first is fixed at 0; here every layer trains its own
    from the same start.

    References:
        Qin, Yang & Zhong 2023, NeurIPS (arXiv 2311.04823).
    """

    family = "gates of the input alone"
    gates = {"f": "forget", "u": "candidate"}
    sources = {"f": "input", "u": "input"}
    vectors = ("v",)
    initial = {"v": Depth()}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        floor = p.v.clamp(0, 1)
        f = floor + (1 - floor) * sigmoid(a.f)
        h = f * s.h + (1 - f) * (a.u * sigmoid(a.u))
        return {"h": h}, {"forget": f}
