"""The long short-term memory of 1997, without a forget gate."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid

from gatelab.cells import Cell
from gatelab.options import option


@dataclass(frozen=True)
class LSTM1997(Cell):
    """LSTM as it was published: two gates around a state that nothing decays, the constant error carousel.

    ```
    i = sigmoid(W_i x + R_i y + b_i)                input gate
    z = 4 sigmoid(W_z x + R_z y + b_z) - 2          block input, within [-2, 2]
    o = sigmoid(W_o x + R_o y + b_o)                output gate
    c = c + i . z
    h = o . (2 sigmoid(c) - 1)
    y = h                                           y = [h, i, o] with `gate_feedback`
    ```

    Bounds: |h| < 1; |c| grows by less than 2 a step and need not shrink again.
    Cost: 3H(D + H + 1) parameters and 6H(D + H) + 11H FLOPs a step.

    Differs from the paper: gradients are exact, while those of the paper stop where they would leave a cell for the step before;
    and only cells are fed back unless `gate_feedback` is set. A memory cell block of the paper shares its gates among several
    cells; here every cell has its own, which is its block of size 1. Biases start from 0; the paper starts those of gates from
    negative values (its Table 10), for example `input_bias=-3`. `nfg` squashes with tanh instead.

    Args:
        gate_feedback: all pre-activations also see the gates of the step before, as in the paper.

    References:
        Hochreiter & Schmidhuber 1997, Neural Computation 9(8), Sec. 4 and Appendix A.1.
    """

    family = "LSTM"
    gates = {"i": "input", "z": "block_input", "o": "output"}

    gate_feedback: bool = option(False, "gates see the gates of the step before, as in the paper")

    @property
    def state(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("h", "c", "i", "o") if self.gate_feedback else ("h", "c")

    @property
    def feedback(self) -> tuple[str, ...]:  # type: ignore[override]
        return ("h", "i", "o") if self.gate_feedback else ("h",)

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        i, z, o = sigmoid(a.i), 4 * sigmoid(a.z) - 2, sigmoid(a.o)
        c = s.c + i * z
        h = o * (2 * sigmoid(c) - 1)
        fed = {"i": i, "o": o} if self.gate_feedback else {}
        return {"h": h, "c": c} | fed, {"input": i, "output": o}
