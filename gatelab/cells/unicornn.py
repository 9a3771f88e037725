"""Independent undamped oscillators: the UnICORNN."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, Scaled, Uniform
from gatelab.options import option

_K = (6 / 65) ** 0.5


@dataclass(frozen=True)
class UnICORNN(Cell):
    """Undamped independent oscillators, each with its own frequency: a Hamiltonian system that loses nothing; no gates.

    ```
    k = dt sigmoid(c)                                  step size of each unit
    z = z - k . (tanh(u . y + W x + b) + alpha y)
    y = y + k . z                                      the NEW velocity
    ```

    c starts from U(-0.1, 0.1), u from U(0, 1); y is the output.

    Bounds: |y| is not bounded, since nothing damps it.

    Cost: (D + 3) H parameters, 2 D H FLOPs a step.

    Differs from the paper: nothing in the equations. The residual connections between its layers are not part of the cell. The
    defaults are those of the authors' code for permuted MNIST; alpha is 0 for IMDB and EigenWorms. W starts as there, from
    U(-q, q) with q = sqrt(6 / (65 D)).

    References:
        Rusch & Mishra 2021, ICML (arXiv 2103.05487).
    """

    family = "oscillators"
    gates = {"a": "acceleration"}
    sources = {"a": "input"}
    state = ("y", "z")
    vectors = ("u", "c")
    initial = {"u": Uniform(0.0, 1.0), "c": Uniform(-0.1, 0.1), "W": Scaled(Uniform(-_K, _K))}

    dt: float = option(0.19, "time step", above=0.0)
    alpha: float = option(30.65, "stiffness of the uncoupled oscillator", minimum=0.0)

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        k = self.dt * sigmoid(p.c)
        z = s.z - k * (tanh(p.u * s.y + a.a) + self.alpha * s.y)
        return {"y": s.y + k * z, "z": z}, {}
