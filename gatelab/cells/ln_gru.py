"""Gated recurrent unit with layer normalisation of both products."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell, Constant, Start, normalize, normalize_together


@dataclass(frozen=True)
class LayerNormGRU(Cell):
    """GRU whose products W x and R h are normalised, each by itself, over the units of the layer.

    ```
    r = sigmoid(g_xr . LN(W_r x + b_xr) + g_hr . LN(R_r h + b_hr) + d_r)             reset gate
    z = sigmoid(g_xz . LN(W_z x + b_xz) + g_hz . LN(R_z h + b_hz) + d_z)             update gate
    n = tanh(g_xn . LN(W_n x + b_xn) + d_n + r . (g_hn . LN(R_n h + b_hn) + d_m))    candidate
    h = (1 - z) . n + z . h

    LN(a) = (a - mean) / sqrt(variance + 1e-5)    mean and variance over the 2 H numbers of r and z, or the H of n
    ```

    Bounds: |h| <= 1 from |h_0| <= 1, since h is a convex combination. Cost: the products of `gru`; 10 vectors more.

    Differs from the paper: there z and 1 - z change places; the shifts of both normalisations of a gate are one vector d. W x and
    R h have biases within LN, as in the authors' code.

    References:
        Ba, Kiros & Hinton 2016, arXiv 1607.06450, supplementary material, equations 27 to 29.
    """

    family = "GRU"
    gates = {
        "xr": "reset_from_x",
        "xz": "update_from_x",
        "xn": "candidate_from_x",
        "hr": "reset_from_h",
        "hz": "update_from_h",
        "hn": "candidate_from_h",
    }
    sources = {name: "input" if name[0] == "x" else "recurrent" for name in gates}
    vectors = (*(f"g_{name}" for name in gates), "d_r", "d_z", "d_n", "d_m")
    retention = "update"

    @property
    def initial(self) -> Mapping[str, Start]:  # type: ignore[override]
        return {name: Constant(1.0 if name.startswith("g") else 0.0) for name in self.vectors}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        xr, xz = normalize_together(a.xr, a.xz)
        hr, hz = normalize_together(a.hr, a.hz)
        r = sigmoid(p.g_xr * xr + p.g_hr * hr + p.d_r)
        z = sigmoid(p.g_xz * xz + p.g_hz * hz + p.d_z)
        n = tanh(p.g_xn * normalize(a.xn) + p.d_n + r * (p.g_hn * normalize(a.hn) + p.d_m))
        h = (1 - z) * n + z * s.h
        return {"h": h}, {"reset": r, "update": z}
