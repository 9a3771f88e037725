"""LSTM with multiplicative integration."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Constant, bias_option
from gatelab.cells.mi_rnn import MIRNN


@dataclass(frozen=True)
class MILSTM(MIRNN):
    """LSTM in which input and state also meet in a product, in every gate: multiplicative integration.

    ```
    k = alpha_k . u_k . v_k + beta_k . u_k + beta_k_h . v_k         for k in i, f, z, o
    u_k = W_k x + b_k
    v_k = R_k h + b_k_h
    c = sigmoid(f) . c + sigmoid(i) . tanh(z)
    h = sigmoid(o) . tanh(c)
    ```

    Bounds: |c| grows by less than 1 a step, and |h| < 1. Cost: 4H(D + H + 5) parameters and 8H(D + H) + 33H FLOPs a step.

    Differs from the paper: as `mi_rnn`. The forget bias of 1 is not theirs; it is within u_f, and so also in the product.

    References:
        Wu, Zhang, Zhang, Bengio & Salakhutdinov 2016, NeurIPS (arXiv 1606.06630), Sec. 2 and 3.
    """

    family = "LSTM"
    gates = {
        "i": "input",
        "f": "forget",
        "z": "block_input",
        "o": "output",
        "i_h": "input_history",
        "f_h": "forget_history",
        "z_h": "block_input_history",
        "o_h": "output_history",
    }
    sources = {name: "recurrent" if name.endswith("_h") else "input" for name in gates}
    state = ("h", "c")
    vectors = (*(f"alpha_{name}" for name in "ifzo"), *(f"beta_{name}" for name in gates))
    initial = dict.fromkeys(vectors, Constant(1.0))

    forget_bias: float = bias_option("f", 1.0, "initial bias of the forget gate")

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, f, o = (sigmoid(self.integrated(a, p, name)) for name in "ifo")
        c = f * s.c + i * tanh(self.integrated(a, p, "z"))
        h = o * tanh(c)
        return {"h": h, "c": c}, {"input": i, "forget": f, "output": o}
