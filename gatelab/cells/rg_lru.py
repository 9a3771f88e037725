"""Real-gated linear recurrent unit: the recurrence of Griffin."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid
from torch.nn.functional import logsigmoid

from gatelab.cells import Cell, Logit, Ring, Start
from gatelab.options import option


@dataclass(frozen=True)
class RGLRU(Cell):
    """Real-gated linear recurrent unit: a gate slows down the learned decay of every unit.

    ```
    r = sigmoid(W_r x + b_r)                            recurrence gate
    i = sigmoid(W_i x + b_i)                            input gate
    v = W_v x + b_v                                     value
    a = sigmoid(lam)^(8 r) = exp(8 r . log sigmoid(lam))
    h = a . h + sqrt(1 - a^2) . (i . v)
    ```

    sigmoid(lam)^power starts uniform by area in the ring [0.9, 0.999]. The gates do not see the state.

    Bounds: |h| is not bounded, as v is not.

    Cost: 3 (D + 1) H + H parameters, 6 D H FLOPs a step.

    Differs from the paper: W_r and W_i are full, not block-diagonal, and all three maps read the input of the layer, where in
    Griffin a linear map and a convolution of width 4 stand before the unit. The first step has the factor sqrt(1 - a^2), too,
    where the released code has 1. There the derivative of the root is cut at 1000; here the root is taken of at least 1e-30.
    The start of `lam` with `power=1` is that of the released code; the paper's wording, a^8 in the ring, is `power=8`.

    References:
        De et al. 2024, arXiv 2402.19427, Sec. 2.4, eqs. 1 to 4.
        Botev et al. 2024, arXiv 2404.07839: the released code, RecurrentGemma.
    """

    family = "gates of the input alone"
    gates = {"r": "recurrence", "i": "input", "v": "value"}
    sources = {"r": "input", "i": "input", "v": "input"}
    vectors = ("lam",)

    power: float = option(1.0, "sigmoid(lam)^power starts in the ring", above=0.0)

    @property
    def initial(self) -> Mapping[str, Start]:  # type: ignore[override]
        return {"lam": Logit(Ring(0.9, 0.999), self.power)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        r, i = sigmoid(a.r), sigmoid(a.i)
        log_a = 8 * r * logsigmoid(p.lam)
        kept = log_a.exp()
        h = kept * s.h + (-(2 * log_a).expm1()).clamp(min=1e-30).sqrt() * (i * a.v)
        return {"h": h}, {"recurrence": r, "input": i, "forget": kept}
