"""Cells that read inputs or states of earlier steps. The parts behind the state are what a network carries of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
from cells.oracles._network import Array, Network, Oracle, sigmoid


def windows(w: Network, xs: Array, gates: str, window: int, carried: tuple[Array, ...]) -> Any:
    """Pre-activations at every step, and the products of earlier inputs that follow it; the blocks of W by lag, then by gate.

    Args:
        carried: what the products of the inputs before the first step add to the first steps, by lag, then by gate.
    """
    G = len(gates)
    for t in range(len(xs)):
        ahead = {}
        for lag in range(1, window):  # what a step that lies `lag` steps from here gets from the inputs up to here
            for k, gate in enumerate(gates):
                later = t + lag
                known = [w.input(j * G + k, xs[later - j]) for j in range(lag, min(window - 1, later) + 1)]
                before = [carried[later * G + k]] if later < window - 1 else []
                ahead[f"{gate}_x{lag}"] = np.sum([*known, *before], axis=0)
        a = []
        for k in range(G):
            a.append(w.b(k) + np.sum([w.input(j * G + k, xs[t - j]) for j in range(min(window - 1, t) + 1)], axis=0))
            if t < window - 1:
                a[-1] = a[-1] + carried[t * G + k]
        yield a, ahead


def typed_gru(w: Network, xs: Array, h: Array, *carried: Any) -> Oracle:
    """Balduzzi & Ghifary 2016: h_t = f . h_{t-1} + z . o."""
    for (z, f, o), ahead in windows(w, xs, "zfo", 2, carried[:-1]):
        h = sigmoid(f) * h + z * np.tanh(o)
        yield {"h": h, **ahead}, {"forget": sigmoid(f)}


def typed_lstm(w: Network, xs: Array, h: Array, c: Array, *carried: Any) -> Oracle:
    """Balduzzi & Ghifary 2016: c_t = f . c_{t-1} + (1 - f) . z, h_t = c_t . o."""
    for (z, f, o), ahead in windows(w, xs, "zfo", 2, carried[:-1]):
        c = sigmoid(f) * c + (1 - sigmoid(f)) * z
        yield {"h": c * np.tanh(o), "c": c, **ahead}, {"forget": sigmoid(f)}


def quasi(w: Network, xs: Array, h: Array, c: Array, *carried: Any) -> Oracle:
    """Bradbury et al. 2017, fo-pooling: c_t = f . c_{t-1} + (1 - f) . z, h_t = o . c_t."""
    for (z, f, o), ahead in windows(w, xs, "zfo", carried[-1].get("window", 2), carried[:-1]):
        c = sigmoid(f) * c + (1 - sigmoid(f)) * np.tanh(z)
        yield {"h": sigmoid(o) * c, "c": c, **ahead}, {"forget": sigmoid(f), "output": sigmoid(o)}


def erichson(w: Network, xs: Array, h: Array, *earlier: Any) -> Oracle:
    """Erichson et al. 2022: h_{n+1} = (1 - g) . h_n + g . (u + a . z), z of the state tau steps before the new one."""
    tau = earlier[-1].get("tau", 10)
    past = [h, *earlier[:-1]]  # the last state first
    for x in xs:
        u = np.tanh(w.input(0, x) + w.recurrent(0, past[0]) + w.b(0))
        z = np.tanh(w.input(1, x) + w.values["R_z"] @ past[tau - 1] + w.b(1))
        g = sigmoid(w.input(2, x) + w.recurrent(1, past[0]) + w.b(2))
        a = sigmoid(w.input(3, x) + w.recurrent(2, past[0]) + w.b(3))
        past = [(1 - g) * past[0] + g * (u + a * z), *past[:-1]]
        copies = {f"h_{lag}": past[lag - 1] for lag in range(2, tau + 1)}
        yield {"h": past[0], **copies}, {"update": g, "weight": a, "kept": 1 - g}


def koutnik(w: Network, xs: Array, h: Array, n: Array, options: dict[str, Any]) -> Oracle:
    """Koutnik et al. 2014: group g is updated every T_g steps, and reads itself and slower groups."""
    periods, h, n = options.get("periods", (1, 2, 4, 8)), h.copy(), n.copy()
    group = [len(periods) * unit // w.H for unit in range(w.H)]
    for x in xs:
        before = h.copy()
        for i in range(w.H):
            slower = [j for j in range(w.H) if group[j] >= group[i]]
            if n[i] < 0.5:
                h[i] = np.tanh(w.values["W"][i] @ x + w.values["R"][i, slower] @ before[slower] + w.b(0)[i])
            n[i] = 0 if n[i] + 1 > periods[group[i]] - 0.5 else n[i] + 1
        yield {"h": h.copy(), "n": n.copy()}, {}


def campos(w: Network, xs: Array, h: Array, c: Array, d: Array, q: Array, options: dict[str, Any]) -> Oracle:
    """Campos et al. 2018, eqs. 2 to 6, on an LSTM; d is 1 - the paper's delta u~, so that all starts at 0."""
    du, acc = 1 - d, q
    for x in xs:
        due = acc + np.minimum(du, 1 - acc)
        u = (due > 0.5).astype(float)
        i, f, z, o = sigmoid(w(0, x, h)), sigmoid(w(1, x, h)), np.tanh(w(2, x, h)), sigmoid(w(3, x, h))
        new_c = f * c + i * z
        du = u * sigmoid(w.values["w"] @ new_c + w.values["v"]) + (1 - u) * du
        h, c, acc = u * o * np.tanh(new_c) + (1 - u) * h, u * new_c + (1 - u) * c, (1 - u) * due
        gates = {"input": i, "forget": f, "output": o, "update": u, "carry": u * f + 1 - u}
        yield {"h": h, "c": c, "d": 1 - du, "q": acc}, gates


ORACLES: dict[str, Callable[..., Oracle]] = {
    "t_gru": typed_gru,
    "t_lstm": typed_lstm,
    "qrnn": quasi,
    "taugru": erichson,
    "clockwork": koutnik,
    "skip_rnn": campos,
}
