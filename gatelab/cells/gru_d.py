"""GRU whose state decays with the time between steps: the hidden decay of GRU-D."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, exp, relu, sigmoid, tanh

from gatelab.cells import Cell, Constant, Uniform


@dataclass(frozen=True)
class GRUD(Cell):
    """GRU for irregular times: what it knows fades while nothing is observed.

    ```
    d = exp(-relu(w_d . dt + b_d))                            dt: time since the step before
    v = d . h(t-1)
    r = sigmoid(W_r x + R_r v + b_r)
    z = sigmoid(W_z x + R_z v + b_z)
    n = tanh(W_n x + R_n (r . v) + b_n)
    h = (1 - z) . v + z . n
    ```

    w_d starts uniform in [0, 0.1] and b_d at 0. With both at 0 it is `gru_cho`, with z for 1 - z.

    Bounds: |h| <= 1 from |h_0| <= 1.

    Cost: 3 (D + H + 1) H + 2 H parameters, 6 (D + H) H FLOPs a step.

    Differs from the paper: this is its hidden decay alone, with one time for all inputs, and so one weight of it a unit. The paper
    has a time for each input, since that was last observed, and lets missing inputs decay to their mean. Here the data do that:
    x holds what is imputed, with the mask of what was observed as further inputs. The paper's code starts w_d at 0, where the
    derivative of relu is 0, too, in PyTorch.

    References:
        Che, Purushotham, Cho, Sontag & Liu 2018, Scientific Reports 8 (arXiv 1606.01865), eqs. 10 to 15.
    """

    family = "GRU"
    gates = {"r": "reset", "z": "update", "n": "candidate", "dt": "elapsed"}
    sources = {"dt": "time"}
    late = {"r": "v", "z": "v", "n": "u"}
    vectors = ("w_d", "b_d")
    initial = {"w_d": Uniform(0.0, 0.1), "b_d": Constant(0.0)}
    retention = "effective"

    def before(self, a: Any, s: Any, p: Any) -> Iterator[dict[str, Tensor]]:
        v = exp(-relu(p.w_d * a.dt + p.b_d)) * s.h
        yield {"v": v}
        yield {"u": sigmoid(a.r) * v}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        d = exp(-relu(p.w_d * a.dt + p.b_d))
        r, z = sigmoid(a.r), sigmoid(a.z)
        h = (1 - z) * (d * s.h) + z * tanh(a.n)
        return {"h": h}, {"reset": r, "update": z, "decay": d, "effective": (1 - z) * d}
