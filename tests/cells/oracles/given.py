"""Cells that read the input itself, or the time that has passed, beside their products."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from cells.oracles._network import Array, Network, Oracle, sigmoid


def simple_recurrent(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Lei et al. 2018, eqs. 1 to 4: stored as forget, reset, candidate; the weights of the highway start at 0, so alpha^2 is 3."""
    alpha = math.sqrt(3) if options["rescale"] else 1.0
    for x in xs:
        f = sigmoid(w.input(0, x) + w.values["v_f"] * c + w.b(0))
        r = sigmoid(w.input(1, x) + w.values["v_r"] * c + w.b(1))
        c = f * c + (1 - f) * (w.input(2, x) + w.b(2))
        h = r * c + (1 - r) * w.raw(x) * alpha
        yield {"h": h, "c": c}, {"forget": f, "highway": r}


def intersection(w: Network, xs: Array, y: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Collins et al. 2017, +RNN: stored as candidate of the output, candidate of the state, depth gate, time gate."""
    for x in xs:
        y_in, h_in = np.maximum(0, w(0, x, h)), np.tanh(w(1, x, h))
        g_y, g_h = sigmoid(w(2, x, h)), sigmoid(w(3, x, h))
        y = g_y * w.raw(x) + (1 - g_y) * y_in
        h = g_h * h + (1 - g_h) * h_in
        yield {"y": y, "h": h}, {"depth": g_y, "time": g_h}


def closed_form(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Hasani et al. 2022, the code: one layer of backbone, then heads ff1, ff2, time_a and time_b; every step takes the time 1."""
    for x in xs:
        v = 1.7159 * np.tanh(0.666 * (w.input(0, x) + w.values["R"] @ h + w.b(0)))
        ff1, ff2, time_a, time_b = (w.values[f"R_{name}"] @ v + w.b(1 + number) for number, name in enumerate("fgrk"))
        t_interp = sigmoid(time_a * 1.0 + time_b)
        h = np.tanh(ff1) * (1 - t_interp) + t_interp * np.tanh(ff2)
        yield {"h": h}, {"time": t_interp}


def decaying(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Che et al. 2018, GRU-D without the decay of inputs; every step takes the time 1."""
    for x in xs:
        gamma = np.exp(-np.maximum(0, w.values["w_d"] + w.values["b_d"]))
        h = gamma * h
        r = sigmoid(w.input(0, x) + w.values["R_r"] @ h + w.b(0))
        z = sigmoid(w.input(1, x) + w.values["R_z"] @ h + w.b(1))
        n = np.tanh(w.input(2, x) + w.values["R_n"] @ (r * h) + w.b(2))
        h = (1 - z) * h + z * n
        yield {"h": h}, {"reset": r, "update": z, "decay": gamma, "effective": (1 - z) * gamma}


def complex_linear(w: Network, xs: Array, re: Array, im: Array, options: dict[str, Any]) -> Oracle:
    """Orvieto et al. 2023, Appendix A, in complex numbers."""
    lam = np.exp(-np.exp(w.values["nu"]) + 1j * np.exp(w.values["theta"]))
    h = re + 1j * im
    for x in xs:
        h = lam * h + np.exp(w.values["gamma"]) * (w.input(0, x) + w.b(0) + 1j * (w.input(1, x) + w.b(1)))
        yield {"re": h.real, "im": h.imag}, {}


def neil(w: Network, xs: Array, h: Array, c: Array, t: Array, options: dict[str, Any]) -> Oracle:
    """Neil et al. 2016, eqs. 1 to 6 and 8 to 12: phi = ((t - s) mod tau) / tau; every step takes the time 1."""
    tau, on, leak = np.exp(w.values["v"]), 0.05, 0.001
    time = t * tau  # at which each unit's clock stands
    for x in xs:
        time = time + 1
        phi = np.mod(time - w.values["shift"] * tau, tau) / tau
        k = np.where(phi < on / 2, 2 * phi / on, np.where(phi < on, 2 - 2 * phi / on, leak * phi))
        i, f = (sigmoid(w(block, x, h) + w.p(gate) * c) for block, gate in enumerate("if"))
        proposed = f * c + i * np.tanh(w(2, x, h))
        o = sigmoid(w(3, x, h) + w.p("o") * proposed)
        h, c = k * o * np.tanh(proposed) + (1 - k) * h, k * proposed + (1 - k) * c
        gates = {"input": i, "forget": f, "output": o, "opening": k, "carry": k * f + 1 - k}
        yield {"h": h, "c": c, "t": np.mod(time, tau) / tau}, gates


ORACLES: dict[str, Callable[..., Oracle]] = {
    "cfc": closed_form,
    "lru": complex_linear,
    "gru_d": decaying,
    "intersection_rnn": intersection,
    "phased_lstm": neil,
    "sru": simple_recurrent,
}
