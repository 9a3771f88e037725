"""Cells with functions over the units of a row."""

from collections.abc import Callable
from typing import Any

import numpy as np
from cells.oracles._network import Array, Network, Oracle, sigmoid


def blocks(w: Network, x: Array, h: Array, gates: int) -> tuple[list[Array], list[Array]]:
    """W x + b and R h + b of as many pre-activations each, those of x first."""
    return (
        [w.input(gate, x) + w.b(gate) for gate in range(gates)],
        [w.recurrent(gate, h) + w.b(gates + gate) for gate in range(gates)],
    )


def layer_norm(*parts: Array) -> list[Array]:
    """Ba et al. 2016: mu and sigma over everything that is given."""
    every = np.concatenate(parts)
    sigma = np.sqrt(np.var(every) + 1e-5)
    return [(part - every.mean()) / sigma for part in parts]


def ba_lstm(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Ba et al. 2016: (f, i, o, g) = LN(W_h h; alpha_1) + LN(W_x x; alpha_2) + b; h = s(o) . tanh(LN(c; alpha_3, beta_3))."""
    p = w.values
    for x in xs:
        from_x, from_h = (layer_norm(*part) for part in blocks(w, x, h, 4))
        i, f, z, o = (
            p[f"g_x{gate}"] * one + p[f"g_h{gate}"] * other + p[f"d_{gate}"]
            for gate, one, other in zip("ifzo", from_x, from_h, strict=True)
        )
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(z)
        h = sigmoid(o) * np.tanh(p["g_c"] * layer_norm(c)[0] + p["d_c"])
        yield {"h": h, "c": c}, {"input": sigmoid(i), "forget": sigmoid(f), "output": sigmoid(o)}


def ba_gru(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Ba et al. 2016, supplement: (z, r) = LN(W_h h) + LN(W_x x); candidate tanh(LN(W x) + s(r) . LN(U h)); z keeps here."""
    p = w.values
    for x in xs:
        (xr, xz, xn), (hr, hz, hn) = blocks(w, x, h, 3)
        (xr, xz), (hr, hz), (xn,), (hn,) = layer_norm(xr, xz), layer_norm(hr, hz), layer_norm(xn), layer_norm(hn)
        r = sigmoid(p["g_xr"] * xr + p["g_hr"] * hr + p["d_r"])
        z = sigmoid(p["g_xz"] * xz + p["g_hz"] * hz + p["d_z"])
        n = np.tanh(p["g_xn"] * xn + p["d_n"] + r * (p["g_hn"] * hn + p["d_m"]))
        h = z * h + (1 - z) * n
        yield {"h": h}, {"reset": r, "update": z}


def cumax(a: Array) -> Array:
    e = np.exp(a - a.max())
    return np.cumsum(e / e.sum())


def shen(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Shen et al. 2019: f^ = f . w + (f~ - w), i^ = i . w + (i~ - w), w = f~ . i~, f~ = cumax, i~ = 1 - cumax."""
    for x in xs:
        i, f, z, o = sigmoid(w(0, x, h)), sigmoid(w(1, x, h)), np.tanh(w(2, x, h)), sigmoid(w(3, x, h))
        master_f, master_i = cumax(w(4, x, h)), 1 - cumax(w(5, x, h))
        overlap = master_f * master_i
        f, i = f * overlap + (master_f - overlap), i * overlap + (master_i - overlap)
        c = f * c + i * z
        h = o * np.tanh(c)
        gates = {"input": i, "forget": f, "output": o, "master_forget": master_f, "master_input": master_i}
        yield {"h": h, "c": c}, gates


ORACLES: dict[str, Callable[..., Oracle]] = {"ln_lstm": ba_lstm, "ln_gru": ba_gru, "on_lstm": shen}
