"""Linear recurrent unit: a complex number of modulus below 1 turns and shrinks the state of each unit."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, cos, exp, sin

from gatelab.cells import Cell, Log, LogRate, Normal, Ring, RingGain, Scaled, Start, Uniform
from gatelab.options import option


@dataclass(frozen=True)
class LRU(Cell):
    """Linear recurrent unit: a state that is not gated, complex, and forgets at a rate of its own in each unit.

    ```
    lambda = exp(-exp(nu)) (cos(exp(theta)) + i sin(exp(theta)))
    u  = W_u x + b_u + i (W_v x + b_v)
    re = Re(lambda (re(t-1) + i im(t-1)) + exp(gamma) u)
    im = Im(lambda (re(t-1) + i im(t-1)) + exp(gamma) u)
    ```

    The output is (re, im), 2 H wide. |lambda| starts uniform by area in the ring [r_min, r_max], its angle uniform up to max_phase,
    gamma at log sqrt(1 - |lambda|^2), and W normal with variance 1 / (2 D).

    Bounds: |re| is not bounded, as u is not.

    Cost: 2 (D + 1) H + 3 H parameters, 4 D H FLOPs a step.

    Differs from the paper: u has biases, 0 at the start. What follows the unit there is that of the next layer or of the head: the
    real part of a product with the state is one with (re, im); D x, a skip past it, and the nonlinear block around it are absent.

    References:
        Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu & De 2023, ICML (arXiv 2303.06349), Sec. 3 and Appendix A.
    """

    family = "diagonal recurrence"
    gates = {"u": "real_input", "v": "imaginary_input"}
    sources = {"u": "input", "v": "input"}
    state = ("re", "im")
    output = ("re", "im")
    vectors = ("nu", "theta", "gamma")

    r_min: float = option(0.9, "|lambda| starts above", above=0.0, below=1.0)
    r_max: float = option(0.999, "|lambda| starts below", above=0.0, below=1.0)
    max_phase: float = option(2 * math.pi, "the angle of lambda starts below", above=0.001)

    @property
    def initial(self) -> Mapping[str, Start]:  # type: ignore[override]
        return {
            "W": Scaled(Normal(math.sqrt(0.5))),
            "nu": LogRate(Ring(self.r_min, self.r_max)),
            "theta": Log(Uniform(1e-6, self.max_phase)),
            "gamma": RingGain("nu"),
        }

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        modulus, angle, gain = exp(-exp(p.nu)), exp(p.theta), exp(p.gamma)
        c, d = modulus * cos(angle), modulus * sin(angle)
        return {"re": c * s.re - d * s.im + gain * a.u, "im": d * s.re + c * s.im + gain * a.v}, {}
