"""Coupled damped oscillators: the coRNN."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, tanh

from gatelab.cells import Cell
from gatelab.options import option


@dataclass(frozen=True)
class CoRNN(Cell):
    """Coupled oscillatory network: every unit is a damped, driven oscillator with position y and velocity z; no gates.

    ```
    z = z + dt (tanh(W x + R_y y + R_z z + b) - gamma y - epsilon z)
    y = y + dt z                                                          the NEW velocity
    ```

    R = (R_y, R_z) has H rows and 2 H columns; y is the output.

    Bounds: |y| <= 1 / gamma once the start is forgotten, where epsilon >= 2 sqrt(gamma) and dt epsilon < 1, as with the defaults.

    Cost: (D + 2 H + 1) H parameters, 2 (D + 2 H) H FLOPs a step.

    Differs from the paper: the friction is explicit, epsilon z(t-1), as in the authors' code; the paper also has an implicit
    form. W and R start from U(-1/sqrt(H), 1/sqrt(H)); in that code the bound is 1/sqrt(D + 2 H). dt, gamma and epsilon are
    tuned for each task: 0.042, 2.7, 4.7 for sequential MNIST, 0.076, 0.4, 8 for permuted MNIST, 0.06, 66, 15 for adding. With
    those, a unit takes tens of steps to respond; the defaults here respond within a few, and learn tasks that ask for an output
    at once.

    References:
        Rusch & Mishra 2021, ICLR (arXiv 2010.00951).
    """

    family = "oscillators"
    gates = {"a": "acceleration"}
    state = ("y", "z")
    feedback = ("y", "z")

    dt: float = option(0.4, "time step", above=0.0)
    gamma: float = option(1.0, "stiffness, the square of the frequency", minimum=0.0)
    epsilon: float = option(2.0, "friction", minimum=0.0)

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        z = s.z + self.dt * (tanh(a.a) - self.gamma * s.y - self.epsilon * s.z)
        return {"y": s.y + self.dt * z, "z": z}, {}
