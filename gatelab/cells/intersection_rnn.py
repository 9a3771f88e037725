"""Intersection RNN: one gate along the layers, one along time."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, relu, sigmoid, tanh

from gatelab.cells import Cell, bias_option


@dataclass(frozen=True)
class IntersectionRNN(Cell):
    """Intersection RNN: one gate passes the input on to the next layer, another the state on to the next step.

    ```
    u = relu(W_u x + R_u h(t-1) + b_u)            n = tanh(W_n x + R_n h(t-1) + b_n)
    d = sigmoid(W_d x + R_d h(t-1) + b_d)         g = sigmoid(W_g x + R_g h(t-1) + b_g)
    y = d . x + (1 - d) . u                       the output; x: W_x x where D differs from H
    h = g . h(t-1) + (1 - g) . n                  the state
    ```

    The biases of both gates start at 1.

    Bounds: |y| is not bounded, as x and u are not; |h| <= 1 from |h_0| <= 1.

    Cost: 4 (D + H + 1) H parameters, 8 (D + H) H FLOPs a step, as `lstm`; H D more, and 2 D H, where D differs from H.

    Differs from the paper: where D differs from H, the gates read x itself and not its projection, and in the paper only the first
    layer projects. The 1 that the gates start with is a bias that is learnt; in the paper's code it is a constant beside one.

    References:
        Collins, Sohl-Dickstein & Sussillo 2017, ICLR (arXiv 1611.09913), Sec. 2, the +RNN.
    """

    family = "gated units"
    gates = {"u": "passing_candidate", "n": "candidate", "d": "depth", "g": "time", "x": "raw_input"}
    sources = {"x": "raw"}
    state = ("y", "h")
    feedback = ("h",)
    retention = "time"

    depth_bias: float = bias_option("d", 1.0, "initial bias of 'depth': above 0, the layer starts close to passing its input on")
    time_bias: float = bias_option("g", 1.0, "initial bias of 'time': above 0, the state starts close to being kept")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        d, g = sigmoid(a.d), sigmoid(a.g)
        y = d * a.x + (1 - d) * relu(a.u)
        return {"y": y, "h": g * s.h + (1 - g) * tanh(a.n)}, {"depth": d, "time": g}
