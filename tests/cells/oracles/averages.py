"""Units of 2017 to 2020 whose gates see something else than the whole state, and weighted averages."""

from collections.abc import Callable
from typing import Any

import numpy as np
from cells.oracles._network import Array, Network, Oracle, sigmoid


def surrogate(w: Network, xs: Array, h: Array, c: Array, s: Array, options: dict[str, Any]) -> Oracle:
    """Martin & Cundy 2018, as their code: the gates see the surrogate of the same step, and h = o . c."""
    for x in xs:
        g, u = sigmoid(w.input(0, x) + w.b(0)), np.tanh(w.input(1, x) + w.b(1))
        s = g * s + (1 - g) * u
        i, f, z, o = (w.input(block, x) + w.values[f"R_{gate}"] @ s + w.b(block) for block, gate in enumerate("ifzo", 2))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(z)
        h = sigmoid(o) * c
        yield {"h": h, "c": c, "s": s}, {"surrogate": g, "input": sigmoid(i), "forget": sigmoid(f), "output": sigmoid(o)}


def averaged(w: Network, xs: Array, h: Array, y: Array, d: Array, m: Array, options: dict[str, Any]) -> Oracle:
    """Ostmeyer & Cowell 2017: sums over all steps of z e^a and of e^a, unscaled; given sums are scaled by e^m."""
    n, d = y * d * np.exp(m), d * np.exp(m)
    for x in xs:
        z = (w.input(0, x) + w.b(0)) * np.tanh(w.input(1, x) + w.recurrent(0, h) + w.b(1))
        a = w.input(2, x) + w.recurrent(1, h) + w.b(2)
        n, d = n + z * np.exp(a), d + np.exp(a)
        h, m = np.tanh(n / d), np.maximum(m, a)
        share = np.exp(a) / d
        yield {"h": h, "y": n / d, "d": d * np.exp(-m), "m": m}, {"share": share, "kept": 1 - share}


def discounted(w: Network, xs: Array, h: Array, y: Array, d: Array, m: Array, options: dict[str, Any]) -> Oracle:
    """Maginnis & Richemond 2017: n = q n + z e^a, d = q d + e^a, unscaled; given sums are scaled by e^m."""
    n, d = y * d * np.exp(m), d * np.exp(m)
    for x in xs:
        z = (w.input(0, x) + w.b(0)) * np.tanh(w.input(1, x) + w.recurrent(0, h) + w.b(1))
        q = sigmoid(w.input(2, x) + w.recurrent(1, h) + w.b(2))
        a = w.input(3, x) + w.recurrent(2, h) + w.b(3)
        n, d = q * n + z * np.exp(a), q * d + np.exp(a)
        h, m = np.tanh(n / d), np.maximum(np.log(q) + m, a)
        share = np.exp(a) / d
        yield {"h": h, "y": n / d, "d": d * np.exp(-m), "m": m}, {"discount": q, "share": share, "kept": 1 - share}


def differential(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Ororbia et al. 2017: d1 = alpha . Vh . Wx, d2 = beta1 . Vh + beta2 . Wx, h = relu((1 - r) . tanh(d1 + d2 + b) + r . h)."""
    v = w.values
    for x in xs:
        Wx, Vh = w.input(0, x) + w.b(0), w.recurrent(0, h) + w.b(1)
        r = sigmoid(Wx + v["v_r"])
        inner = np.tanh(v["alpha"] * Vh * Wx + (v["beta_y"] * Vh + v["beta_u"] * Wx) + v["v_z"])
        h = np.maximum((1 - r) * inner + r * h, 0)
        yield {"h": h}, {"kept": r}


def independent(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Gonnet & Deselaers 2020: an LSTM with u . h in the place of U h."""
    for x in xs:
        i, f, z, o = (w.input(block, x) + w.values[f"u_{gate}"] * h + w.b(block) for block, gate in enumerate("ifzo"))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(z)
        h = sigmoid(o) * np.tanh(c)
        yield {"h": h, "c": c}, {"input": sigmoid(i), "forget": sigmoid(f), "output": sigmoid(o)}


ORACLES: dict[str, Callable[..., Oracle]] = {
    "delta_rnn": differential,
    "gilr_lstm": surrogate,
    "indylstm": independent,
    "rda": discounted,
    "rwa": averaged,
}
