"""Long short-term memory with layer normalisation of both products and of the cell state."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, Constant, Start, normalize, normalize_together
from gatelab.options import option

GATES = {"i": "input", "f": "forget", "z": "block_input", "o": "output"}


@dataclass(frozen=True)
class LayerNormLSTM(Cell):
    """LSTM whose products W x and R h are normalised, each by itself, and whose c is where h reads it.

    ```
    i = sigmoid(g_xi . LN(W_i x + b_xi) + g_hi . LN(R_i h + b_hi) + d_i)    input gate; f and o likewise
    z = tanh(g_xz . LN(W_z x + b_xz) + g_hz . LN(R_z h + b_hz) + d_z)       block input
    c = f . c + i . z
    h = o . tanh(g_c . LN(c) + d_c)

    LN(a) = (a - mean) / sqrt(variance + 1e-5)    mean and variance over the 4 H numbers of W x, of R h, and the H of c
    ```

    Bounds: |h| stays below 1; |c| of a unit grows by less than 1 a step. Cost: the products of `lstm`; 18 vectors more.

    Differs from the paper: the shifts of both normalisations and the bias outside of them are one vector d. W x and R h have biases
    within LN, as in the authors' code. The forget gate starts from d_f = 1, as `lstm`; theirs from 0.

    References:
        Ba, Kiros & Hinton 2016, arXiv 1607.06450, equations 20 to 22.
    """

    family = "LSTM"
    gates = {f"{side}{gate}": f"{word}_{of}" for side, of in (("x", "from_x"), ("h", "from_h")) for gate, word in GATES.items()}
    sources = {name: "input" if name[0] == "x" else "recurrent" for name in gates}
    state = ("h", "c")
    vectors = (*(f"g_{name}" for name in gates), *(f"d_{gate}" for gate in GATES), "g_c", "d_c")

    forget_shift: float = option(1.0, "initial shift of the forget gate, d_f")

    @property
    def initial(self) -> Mapping[str, Start]:  # type: ignore[override]
        starts = {name: Constant(1.0 if name.startswith("g") else 0.0) for name in self.vectors}
        return starts | {"d_f": Constant(self.forget_shift)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        xi, xf, xz, xo = normalize_together(a.xi, a.xf, a.xz, a.xo)
        hi, hf, hz, ho = normalize_together(a.hi, a.hf, a.hz, a.ho)
        i = sigmoid(p.g_xi * xi + p.g_hi * hi + p.d_i)
        f = sigmoid(p.g_xf * xf + p.g_hf * hf + p.d_f)
        z = tanh(p.g_xz * xz + p.g_hz * hz + p.d_z)
        o = sigmoid(p.g_xo * xo + p.g_ho * ho + p.d_o)
        c = f * s.c + i * z
        h = o * tanh(p.g_c * normalize(c) + p.d_c)
        return {"h": h, "c": c}, {"input": i, "forget": f, "output": o}
