"""The recurrent cell that a neural architecture search found."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, relu, sigmoid, tanh

from gatelab.cells import Cell


@dataclass(frozen=True)
class NASCell(Cell):
    """Cell found by neural architecture search: a fixed tree over eight pre-activations of input and state.

    ```
    l_k = W_k x + b_k + R_k h                           k = 0 ... 7 except 3
    l_3 = relu((W_3 x + b_3) . (R_3 h + b_m))           a product, not a sum
    p_0 = tanh(sigmoid(l_0) . relu(l_1))
    p_1 = tanh(sigmoid(l_2) + l_3)
    p_2 = tanh(tanh(l_4) . sigmoid(l_5))
    p_3 = sigmoid(tanh(l_6) + sigmoid(l_7))
    c = tanh(p_0 + c) . p_1
    h = tanh(c . tanh(p_2 + p_3))
    ```

    Bounds: |c| < 1; |h| < 0.72. Cost: H(8D + 8H + 9) parameters and 16H(D + H) + 24H FLOPs a step.

    Differs from the paper: TensorFlow's NASCell, which counts here, has no biases by default; these start from 0.

    References:
        Zoph & Le 2017, ICLR (arXiv 1611.01578), Sec. 4.2; Barret Zoph's NASCell in TensorFlow.
    """

    family = "gated units"
    gates = {
        "l0": "root_gate",
        "l1": "root_content",
        "l2": "write_gate",
        "l3": "write_input",
        "m3": "write_history",
        "l4": "show_content",
        "l5": "show_gate",
        "l6": "shift_content",
        "l7": "shift_gate",
    }
    state = ("h", "c")
    sources = {"l3": "input", "m3": "recurrent"}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        l0, l5 = sigmoid(a.l0), sigmoid(a.l5)
        p0 = tanh(l0 * relu(a.l1))
        p1 = tanh(sigmoid(a.l2) + relu(a.l3 * a.m3))
        p2 = tanh(tanh(a.l4) * l5)
        p3 = sigmoid(tanh(a.l6) + sigmoid(a.l7))
        c = tanh(p0 + s.c) * p1
        h = tanh(c * tanh(p2 + p3))
        return {"h": h, "c": c}, {"root_gate": l0, "show_gate": l5}
