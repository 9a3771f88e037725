"""Delta-RNN: a gate that sees the input alone mixes the state with a second-order candidate."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, relu, sigmoid, tanh

from gatelab.cells import Cell, Constant


@dataclass(frozen=True)
class DeltaRNN(Cell):
    """Delta-RNN: input and state also meet in a product, and a gate of the input alone decides how much enters.

    ```
    u = W x + b_u
    y = R h + b_y
    z = tanh(alpha . u . y + beta_y . y + beta_u . u + v_z)      candidate
    r = sigmoid(u + v_r)                                        keeps where it is 1
    h = relu((1 - r) . z + r . h)
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since it is rectified behind a convex combination. Cost: one input and one square matrix, as
    `rnn`, and 6H more parameters.

    Differs from the paper: it leaves the outer activation open; relu, alpha = 2, both beta = 1 and the two biases beside v_z and
    v_r are those of a published implementation by one of its later co-authors. It has no timescales: where h is rectified, kept
    is not the factor on the old state.

    References:
        Ororbia, Mikolov & Reitter 2017, Neural Computation 29(12) (arXiv 1703.08864), the differential state framework.
    """

    family = "gated units"
    gates = {"u": "block_input", "y": "block_history"}
    sources = {"u": "input", "y": "recurrent"}
    vectors = ("alpha", "beta_u", "beta_y", "v_z", "v_r")
    initial = {
        "alpha": Constant(2.0),
        "beta_u": Constant(1.0),
        "beta_y": Constant(1.0),
        "v_z": Constant(0.0),
        "v_r": Constant(0.0),
    }

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        z = tanh(p.alpha * a.u * a.y + p.beta_y * a.y + p.beta_u * a.u + p.v_z)
        kept = sigmoid(a.u + p.v_r)
        return {"h": relu((1 - kept) * z + kept * s.h)}, {"kept": kept}
