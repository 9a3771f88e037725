"""Cells since 2015 whose start values belong to the model, and those without a recurrent product.

Where a cell keeps its sums in the logarithm, the transcription sums them as the paper writes them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from cells.oracles._network import Array, Network, Oracle, sigmoid


def rectified(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Le et al. 2015."""
    for x in xs:
        h = np.maximum(0, w(0, x, h))
        yield {"h": h}, {}


def independent(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Li et al. 2018, eq. 2, rectified."""
    for x in xs:
        h = np.maximum(0, w.input(0, x) + w.values["u"] * h + w.b(0))
        yield {"h": h}, {}


def refined(f: Array, r: Array) -> Array:
    """Gu et al. 2020: f + f (1 - f) (2 r - 1)."""
    return f + f * (1 - f) * (2 * r - 1)


def uniform_refined(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Gu et al. 2020, UR-LSTM: stored as forget, refine, block input, output."""
    b_f = w.values["v"]
    for x in xs:
        f, r = sigmoid(w(0, x, h) + b_f), sigmoid(w(1, x, h) - b_f)
        g = refined(f, r)
        c = g * c + (1 - g) * np.tanh(w(2, x, h))
        o = sigmoid(w(3, x, h))
        h = o * np.tanh(c)
        yield {"h": h, "c": c}, {"forget": f, "refine": r, "effective": g, "output": o}


def minimal_candidate(value: Array, options: dict[str, Any]) -> Array:
    """Feng et al. 2024, linear, or g of their form in the logarithm."""
    if not options["positive"]:
        return value
    return np.array([one + 0.5 if one >= 0 else sigmoid(one) for one in value])


def minimal_gru(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Feng et al. 2024, Sec. 3.1: stored as update, candidate."""
    for x in xs:
        z = sigmoid(w.input(0, x) + w.b(0))
        h = (1 - z) * h + z * minimal_candidate(w.input(1, x) + w.b(1), options)
        yield {"h": h}, {"update": z, "forget": 1 - z}


def minimal_lstm(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Feng et al. 2024, Sec. 3.2: stored as forget, input, candidate."""
    for x in xs:
        f, i = sigmoid(w.input(0, x) + w.b(0)), sigmoid(w.input(1, x) + w.b(1))
        h = f / (f + i) * h + i / (f + i) * minimal_candidate(w.input(2, x) + w.b(2), options)
        yield {"h": h}, {"forget": f, "input": i, "effective": f / (f + i)}


def diagonal_gru(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Danieli et al. 2025, eq. 3.1a: stored as update, reset, candidate."""
    u_z, u_r, u_n = (np.clip(w.values[f"u_{name}"], -0.5, 0.5) for name in "zrn")
    for x in xs:
        z = sigmoid(u_z * h + w.input(0, x) + w.b(0))
        r = sigmoid(u_r * h + w.input(1, x) + w.b(1))
        n = np.tanh(u_n * (h * r) + w.input(2, x) + w.b(2))
        h = (1 - z) * h + z * n
        yield {"h": h}, {"update": z, "reset": r, "forget": 1 - z}


def diagonal_lstm(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Danieli et al. 2025, eq. 3.1b: stored as forget, block input, output."""
    u_f, u_z, u_o, p_f, p_o = (np.clip(w.values[name], -0.5, 0.5) for name in ("u_f", "u_z", "u_o", "p_f", "p_o"))
    for x in xs:
        f = sigmoid(u_f * h + p_f * c + w.input(0, x) + w.b(0))
        z = np.tanh(u_z * h + w.input(1, x) + w.b(1))
        c = f * c + (1 - f) * z
        o = sigmoid(u_o * h + p_o * c + w.input(2, x) + w.b(2))
        h = o * np.tanh(c)
        yield {"h": h, "c": c}, {"forget": f, "output": o}


def real_gated(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """De et al. 2024, eqs. 1 to 4, with c = 8: stored as recurrence, input, value."""
    for x in xs:
        r, i = sigmoid(w.input(0, x) + w.b(0)), sigmoid(w.input(1, x) + w.b(1))
        a = sigmoid(w.values["lam"]) ** (8 * r)
        h = a * h + np.sqrt(1 - a**2) * (i * (w.input(2, x) + w.b(2)))
        yield {"h": h}, {"recurrence": r, "input": i, "forget": a}


def hierarchical(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Qin et al. 2023, real: stored as forget, candidate."""
    floor = np.clip(w.values["v"], 0, 1)
    for x in xs:
        f = floor + (1 - floor) * sigmoid(w.input(0, x) + w.b(0))
        c = w.input(1, x) + w.b(1)
        h = f * h + (1 - f) * (c * sigmoid(c))
        yield {"h": h}, {"forget": f}


def receptive(w: Network, xs: Array, h: Array, num: Array, den: Array, most: Array, options: dict[str, Any]) -> Oracle:
    """Peng et al. 2023, wkv as two sums, and the maximum that they are divided by: stored as key, value, receptance."""
    u, decay = w.values["u"], np.exp(w.values["decay"])
    above, below = num * np.exp(most), den * np.exp(most)
    for x in xs:
        k, v, r = w.input(0, x) + w.b(0), w.input(1, x) + w.b(1), sigmoid(w.input(2, x) + w.b(2))
        h = r * (above + np.exp(u + k) * v) / (below + np.exp(u + k))
        above = np.exp(-decay) * above + np.exp(k) * v
        below = np.exp(-decay) * below + np.exp(k)
        before, most = most, np.maximum(most - decay, k)
        state = {"h": h, "num": above / np.exp(most), "den": below / np.exp(most), "max": most}
        yield state, {"receptance": r, "effective": np.exp(before - decay - most)}


def exponential(w: Network, xs: Array, h: Array, c: Array, n: Array, m: Array, options: dict[str, Any]) -> Oracle:
    """Beck et al. 2024, sLSTM without the stabiliser, and the stabiliser: stored as input, forget, block input, output."""
    cell, normaliser = c * np.exp(m), n * np.exp(m)
    for x in xs:
        i, f = np.exp(w(0, x, h)), sigmoid(w(1, x, h))
        o = sigmoid(w(3, x, h))
        cell = f * cell + i * np.tanh(w(2, x, h))
        normaliser = f * normaliser + i
        before, m = m, np.maximum(np.log(f) + m, np.log(i))
        h = o * cell / normaliser
        yield (
            {"h": h, "c": cell / np.exp(m), "n": normaliser / np.exp(m), "m": m},
            {"input": i / np.exp(m), "forget": f, "effective": f * np.exp(before) / np.exp(m), "output": o},
        )


def oscillators(w: Network, xs: Array, y: Array, z: Array, options: dict[str, Any]) -> Oracle:
    """Rusch & Mishra 2021, coRNN, with our defaults; R reads y, then z."""
    dt, gamma, epsilon = 0.4, 1.0, 2.0
    for x in xs:
        z = z + dt * (np.tanh(w(0, x, np.concatenate((y, z)))) - gamma * y - epsilon * z)
        y = y + dt * z
        yield {"y": y, "z": z}, {}


def undamped(w: Network, xs: Array, y: Array, z: Array, options: dict[str, Any]) -> Oracle:
    """Rusch & Mishra 2021, UnICORNN, for permuted MNIST."""
    dt, alpha = 0.19, 30.65
    for x in xs:
        z = z - dt * sigmoid(w.values["c"]) * (np.tanh(w.values["u"] * y + w.input(0, x) + w.b(0)) + alpha * y)
        y = y + dt * sigmoid(w.values["c"]) * z
        yield {"y": y, "z": z}, {}


ORACLES: dict[str, Callable[..., Oracle]] = {
    "cornn": oscillators,
    "hgrn": hierarchical,
    "indrnn": independent,
    "irnn": rectified,
    "mingru": minimal_gru,
    "minlstm": minimal_lstm,
    "paragru": diagonal_gru,
    "paralstm": diagonal_lstm,
    "rg_lru": real_gated,
    "rwkv4": receptive,
    "slstm": exponential,
    "unicornn": undamped,
    "ur_lstm": uniform_refined,
}
