"""GRU with weighted time-delay feedback: it also reads its state of several steps before."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, Scaled, Uniform
from gatelab.options import option


@dataclass(frozen=True)
class TauGRU(Cell):
    """GRU with feedback from the state tau steps back, through which gradients skip the steps between.

    ```
    u = tanh(W_u x + R_u h(t-1) + b_u)
    z = tanh(W_z x + R_z h(t-tau) + b_z)          delayed feedback
    g = sigmoid(W_g x + R_g h(t-1) + b_g)         update gate: writes at 1
    a = sigmoid(W_a x + R_a h(t-1) + b_a)         weight of the delayed feedback
    h = (1 - g) . h(t-1) + g . (u + a . z)
    ```

    States before the first step of a sequence are 0.

    Bounds: |h| < 2.

    Cost: 4 (D + H + 1) H parameters, 8 (D + H) H FLOPs a step; tau - 1 states are carried beside h(t-1).

    Differs from the paper: tau counts steps, tau = 1 being h(t-1), as in the authors' code. That code also delays the input of z
    and both inputs of a, and it never reads the first output as a delayed state. Biases start as there, from
    U(-1/sqrt(H), 1/sqrt(H)), but one for each pre-activation instead of two. The default of tau is ours: it belongs to a task.

    References:
        Erichson, Lim & Mahoney 2022 (arXiv 2212.00228).
    """

    family = "delays and clocks"
    gates = {"u": "candidate", "z": "delayed", "g": "update", "a": "weight"}
    retention = "kept"
    initial = {"b": Scaled(Uniform(-1.0, 1.0))}

    tau: int = option(10, "steps back from which the delayed state comes", minimum=2)

    @property
    def delay(self) -> Mapping[str, int]:  # type: ignore[override]
        return {"h": self.tau}

    @property
    def late(self) -> Mapping[str, str]:  # type: ignore[override]
        return {"z": f"h_{self.tau}"}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        g, weight = sigmoid(a.g), sigmoid(a.a)
        h = (1 - g) * s.h + g * (tanh(a.u) + weight * tanh(a.z))
        return {"h": h}, {"update": g, "weight": weight, "kept": 1 - g}
