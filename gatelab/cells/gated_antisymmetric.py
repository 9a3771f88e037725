"""Antisymmetric network with a gate."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Antisymmetric, Constraint
from gatelab.cells.antisymmetric import AntisymmetricRNN


@dataclass(frozen=True)
class GatedAntisymmetricRNN(AntisymmetricRNN):
    """Antisymmetric network with an input gate, which sees the state through the same antisymmetric matrix.

    ```
    A = M - M^T - gamma I                       m = A h(t-1) + b_m
    i = sigmoid(W_i x + b_i + m)                input gate
    z = tanh(W_z x + b_z + m)
    h = h(t-1) + epsilon i . z
    ```

    Bounds: |h| grows by less than epsilon a step.

    Differs from the paper: as `antisymmetric`; b_m is a third bias, which the gate and z share.

    References:
        Chang, Chen, Haber & Chi 2019, ICLR (arXiv 1902.09689), Eq. 12.
    """

    gates = {"i": "input", "z": "block_input", "m": "recurrent"}
    sources = {"i": "input", "z": "input", "m": "recurrent"}

    @property
    def constraint(self) -> dict[str, Constraint]:  # type: ignore[override]
        return {"R.m": Antisymmetric(self.gamma)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, z = sigmoid(a.i + a.m), tanh(a.z + a.m)
        return {"h": s.h + self.epsilon * i * z}, {"input": i}
