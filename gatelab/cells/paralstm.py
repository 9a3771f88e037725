"""LSTM with coupled gates, peepholes and a diagonal recurrent matrix: the ParaLSTM."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, Normal, Scaled
from gatelab.options import option


@dataclass(frozen=True)
class ParaLSTM(Cell):
    """LSTM with coupled gates in which every unit reads its own state alone, for Newton's iteration over time.

    ```
    f = sigmoid(W_f x + b_f + u_f . h + p_f . c(t-1))      forget gate
    z = tanh(W_z x + b_z + u_z . h)                        block input
    c = f . c(t-1) + (1 - f) . z
    o = sigmoid(W_o x + b_o + u_o . h + p_o . c)           output gate; the NEW cell state
    h = o . tanh(c)
    ```

    u and p are held within [-limit, limit] where they are read, and start from N(0, 1/H).

    Bounds: |c| <= 1 from |c_0| <= 1; |h| < tanh(1).

    Cost: 3 (D + 1) H + 5 H parameters, 6 D H FLOPs a step.

    Differs from the paper: the equations, the limit on u and p (App. C.1) and their start were read in a re-implementation
    (pararnn-torch 0.17.4); W starts as in all cells. The Newton iteration is not implemented.

    References:
        Danieli et al. 2025, arXiv 2510.21450, eqs. 3.1b and 3.3.
    """

    family = "diagonal recurrence"
    gates = {"f": "forget", "z": "block_input", "o": "output"}
    sources = {"f": "input", "z": "input", "o": "input"}
    state = ("h", "c")
    vectors = ("u_f", "u_z", "u_o", "p_f", "p_o")
    initial = dict.fromkeys(vectors, Scaled(Normal(1.0)))

    limit: float = option(0.5, "largest magnitude of a recurrent weight and of a peephole", above=0.0)

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        vectors = (p.u_f, p.u_z, p.u_o, p.p_f, p.p_o)
        u_f, u_z, u_o, p_f, p_o = (value.clamp(-self.limit, self.limit) for value in vectors)
        f, z = sigmoid(a.f + u_f * s.h + p_f * s.c), tanh(a.z + u_z * s.h)
        c = f * s.c + (1 - f) * z
        o = sigmoid(a.o + u_o * s.h + p_o * c)
        return {"h": o * tanh(c), "c": c}, {"forget": f, "output": o}
