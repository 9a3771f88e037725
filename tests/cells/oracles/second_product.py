"""Cells with a second product within the step."""

from collections.abc import Callable
from typing import Any

import numpy as np
from cells.oracles._network import Array, Network, Oracle, sigmoid


def late(w: Network, gate: str, *read: Array) -> Array:
    """The matrix of a late pre-activation times what it reads."""
    return w.values[f"R_{gate}"] @ np.concatenate(read)


def cho(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Cho et al. 2014: z keeps; the reset gate stands within the product."""
    for x in xs:
        r, z = sigmoid(w(0, x, h)), sigmoid(w(1, x, h))
        n = np.tanh(w.input(2, x) + late(w, "n", r * h) + w.b(2))
        h = z * h + (1 - z) * n
        yield {"h": h}, {"reset": r, "update": z}


def zhou(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Zhou et al. 2016: h_t = (1 - f) . h + f . n, n = tanh(W x + U (f . h) + b)."""
    for x in xs:
        f = sigmoid(w(0, x, h))
        h = (1 - f) * h + f * np.tanh(w.input(1, x) + late(w, "n", f * h) + w.b(1))
        yield {"h": h}, {"forget": f, "kept": 1 - f}


def mutated(z: Array, r: Array, h: Array, candidate: Array) -> tuple[Array, dict[str, Array]]:
    return np.tanh(candidate) * z + h * (1 - z), {"update": z, "reset": r, "kept": 1 - z}


def mutation_1(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Jozefowicz et al. 2015: z = s(W_xz x + b_z), h' = tanh(W_hh (r . h) + tanh(x) + b_h) . z + h . (1 - z)."""
    for x in xs:
        z, r = sigmoid(w.input(0, x) + w.b(0)), sigmoid(w.input(1, x) + w.recurrent(0, h) + w.b(1))
        h, gates = mutated(z, r, h, late(w, "n", r * h) + np.tanh(w.input(2, x) + w.b(2)) + w.b(3))
        yield {"h": h}, gates


def mutation_2(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Jozefowicz et al. 2015: z = s(W_xz x + W_hz h + b_z), r = s(x + W_hr h + b_r), h' = tanh(W_hh (r . h) + W_xh x + b_h) ..."""
    for sample in xs:
        x = w.input(0, sample) + w.b(0)
        z = sigmoid(late(w, "z", x, h) + w.b(1))
        r = sigmoid(x + w.recurrent(0, h) + w.b(2))
        h, gates = mutated(z, r, h, late(w, "n", x, r * h) + w.b(3))
        yield {"h": h}, gates


def mutation_3(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Jozefowicz et al. 2015: z = s(W_xz x + W_hz tanh(h) + b_z)."""
    for x in xs:
        z = sigmoid(w.input(0, x) + late(w, "z", np.tanh(h)) + w.b(0))
        r = sigmoid(w.input(1, x) + w.recurrent(0, h) + w.b(1))
        h, gates = mutated(z, r, h, late(w, "n", r * h) + w.input(2, x) + w.b(2))
        yield {"h": h}, gates


def minimal(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Chen 2017: u = s(U_h h + U_z z + b_u)."""
    for x in xs:
        z = np.tanh(w.input(0, x) + w.b(0))
        u = sigmoid(late(w, "u", h, z) + w.b(1))
        h = u * h + (1 - u) * z
        yield {"h": h}, {"update": u}


def rusch(w: Network, xs: Array, y: Array, z: Array, options: dict[str, Any]) -> Oracle:
    """Rusch et al. 2022, as the authors' code: y is computed from the new z."""
    dt = options.get("dt", 1.0)
    for x in xs:
        ms_z, ms_y = dt * sigmoid(w(0, x, y)), dt * sigmoid(w(1, x, y))
        z = (1 - ms_z) * z + ms_z * np.tanh(w(2, x, y))
        y = (1 - ms_y) * y + ms_y * np.tanh(w.input(3, x) + late(w, "n", z) + w.b(3))
        yield {"y": y, "z": z}, {"memory_step": ms_z, "output_step": ms_y, "kept": 1 - ms_y}


def krause(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Krause et al. 2016, with the tanh block input of their later code; biases in both factors of m."""
    for x in xs:
        m = (w.input(0, x) + w.b(0)) * (w.recurrent(0, h) + w.b(1))
        i, f, z, o = (
            act(w.input(block - 1, x) + late(w, gate, m) + w.b(block))
            for block, gate, act in ((2, "i", sigmoid), (3, "f", sigmoid), (4, "z", np.tanh), (5, "o", sigmoid))
        )
        c = f * c + i * z
        h = o * np.tanh(c)
        yield {"h": h, "c": c}, {"input": i, "forget": f, "output": o}


def constant_mix(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """MiRU1: h = la h + (1 - la) tanh(W x + U (r . h) + b)."""
    for x in xs:
        r = sigmoid(w(0, x, h))
        h = 0.5 * h + 0.5 * np.tanh(w.input(1, x) + late(w, "n", r * h) + w.b(1))
        yield {"h": h}, {"reset": r}


def gao(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Gao & Glowacka 2016, the deep form: z_g = tanh(V (x_g . h)), z_o = s(V_o (z_g . h)), h = (1 - z) . h + z . z_o."""
    for x in xs:
        z_g = np.tanh(late(w, "k", (w.input(0, x) + w.b(0)) * h) + w.b(1))
        z_o = sigmoid(late(w, "o", z_g * h) + w.b(2))
        z = sigmoid(w.input(1, x) + w.recurrent(0, h) + w.b(3))
        h = (1 - z) * h + z * z_o
        yield {"h": h}, {"candidate": z_o, "update": z, "kept": 1 - z}


def landi(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Landi et al. 2021: i and f see tanh(V c + b) of the old memory, o of the new one."""
    for x in xs:
        i = sigmoid(w(0, x, h) + np.tanh(late(w, "k", c) + w.b(4)))
        f = sigmoid(w(1, x, h) + np.tanh(late(w, "l", c) + w.b(5)))
        c = f * c + i * np.tanh(w(2, x, h))
        o = sigmoid(w(3, x, h) + np.tanh(late(w, "m", c) + w.b(6)))
        h = o * np.tanh(c)
        yield {"h": h, "c": c}, {"input": i, "forget": f, "output": o}


def moniz(w: Network, xs: Array, h: Array, c: Array, inner: Array, options: dict[str, Any]) -> Oracle:
    """Moniz & Krueger 2017, depth 2: the inner LSTM has the input i . (W x + U h + b) and the state f . c."""
    for x in xs:
        i, f, o = sigmoid(w(0, x, h)), sigmoid(w(1, x, h)), sigmoid(w(2, x, h))
        given = i * w(3, x, h), f * c
        i_, f_, o_ = (sigmoid(late(w, gate, *given) + w.b(block)) for gate, block in (("j", 4), ("g", 5), ("q", 6)))
        inner = f_ * inner + i_ * np.tanh(late(w, "y", *given) + w.b(7))
        c = o_ * np.tanh(inner)
        h = o * np.tanh(c)
        gates = {"input": i, "forget": f, "output": o, "inner_input": i_, "inner_forget": f_, "inner_output": o_}
        yield {"h": h, "c": c, "m": inner}, gates


def slow(w: Network, xs: Array, h: Array, s: Array, options: dict[str, Any]) -> Oracle:
    """Mikolov et al. 2015: s = (1 - a) B x + a s, h = sigmoid(P s + A x + R h), a = 0.95; R and P side by side."""
    for x in xs:
        s = 0.05 * (w.input(0, x) + w.b(0)) + 0.95 * s
        h = sigmoid(w.input(1, x) + late(w, "h", h, s) + w.b(1))
        yield {"h": h, "s": s}, {}


def shortcut(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Kim et al. 2017: m = W_p tanh(c), h = o . (m + W_h x)."""
    for x in xs:
        i, f = sigmoid(w(0, x, h) + w.p("i") * c), sigmoid(w(1, x, h) + w.p("f") * c)
        c = f * c + i * np.tanh(w(2, x, h))
        o = sigmoid(w(3, x, h) + w.p("o") * c)
        h = o * (late(w, "m", np.tanh(c)) + w.input(4, x) + w.b(4))
        yield {"h": h, "c": c}, {"input": i, "forget": f, "output": o}


def gao_simple(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Gao & Glowacka 2016: z_g = tanh(V (x_g . h)), z_o = softplus(z_g . h)."""
    for x in xs:
        z_g = np.tanh(late(w, "k", (w.input(0, x) + w.b(0)) * h) + w.b(1))
        z = sigmoid(w.input(1, x) + w.recurrent(0, h) + w.b(2))
        h = (1 - z) * h + z * np.log(1 + np.exp(z_g * h))
        yield {"h": h}, {"update": z, "kept": 1 - z}


def no_gates(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """MiRU2: h = la h + (1 - la) tanh(W x + U (th h) + b), both constants 1/2."""
    for x in xs:
        h = 0.5 * h + 0.5 * np.tanh(w.input(0, x) + late(w, "n", 0.5 * h) + w.b(0))
        yield {"h": h}, {}


def refined_gru(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Gu et al. 2020 on Cho's unit: g = 2 r z + (1 - 2 r) z^2."""
    for x in xs:
        z, r, k = sigmoid(w(0, x, h) + w.values["v"]), sigmoid(w(1, x, h) - w.values["v"]), sigmoid(w(2, x, h))
        g = 2 * r * z + (1 - 2 * r) * z**2
        n = np.tanh(w.input(3, x) + late(w, "n", k * h) + w.b(3))
        h = g * h + (1 - g) * n
        yield {"h": h}, {"update": z, "refine": r, "effective": g, "reset": k}


def highway(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Zilly et al. 2017, coupled: s_l = a_l . t_l + s_(l-1) . (1 - t_l); x enters the first layer only."""
    for x in xs:
        gates: dict[str, Array] = {}
        kept = np.ones_like(h)
        for number in range(1, options.get("depth", 2) + 1):
            if number == 1:
                a, t = w(0, x, h), w(1, x, h)
            else:
                a, t = late(w, f"n{number}", h) + w.b(2 * number - 2), late(w, f"t{number}", h) + w.b(2 * number - 1)
            t = sigmoid(t)
            h = np.tanh(a) * t + h * (1 - t)
            gates[f"transform_{number}"], kept = t, kept * (1 - t)
        yield {"h": h}, gates | {"kept": kept}


ORACLES: dict[str, Callable[..., Oracle]] = {
    "dsgu": gao,
    "gru_cho": cho,
    "lem": rusch,
    "mgu": zhou,
    "minimal_rnn": minimal,
    "miru1": constant_mix,
    "miru2": no_gates,
    "mult_lstm": krause,
    "mut1": mutation_1,
    "mut2": mutation_2,
    "mut3": mutation_3,
    "nested_lstm": moniz,
    "reslstm": shortcut,
    "rhn": highway,
    "scrn": slow,
    "sgu": gao_simple,
    "ur_gru": refined_gru,
    "wmclstm": landi,
}
