"""Cells between the simple network and the LSTM: few gates, or gates in unusual places; and the LSTM of 1997."""

from collections.abc import Callable
from typing import Any

import numpy as np
from cells.oracles._network import Array, Network, Oracle, sigmoid


def relu(value: Array) -> Array:
    return np.where(value > 0, value, 0.0)


def first_lstm(w: Network, xs: Array, h: Array, c: Array, *rest: Any) -> Oracle:
    """Hochreiter & Schmidhuber 1997, Sec. 4, blocks of size 1: stored as input, block input, output."""
    *gates, options = rest
    for x in xs:
        y = np.concatenate((h, *gates))
        i, g, o = sigmoid(w(0, x, y)), 4 * sigmoid(w(1, x, y)) - 2, sigmoid(w(2, x, y))
        c = c + i * g
        h = o * (2 * sigmoid(c) - 1)
        gates = [i, o] if options["gate_feedback"] else []
        yield {"h": h, "c": c} | ({"i": i, "o": o} if options["gate_feedback"] else {}), {"input": i, "output": o}


def update_gate_network(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Collins et al. 2017, UGRNN: stored as update, block input."""
    for x in xs:
        g = sigmoid(w(0, x, h))
        h = g * h + (1 - g) * np.tanh(w(1, x, h))
        yield {"h": h}, {"update": g}


def forget_gate_alone(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Van der Westhuizen & Lasenby 2018, beta = 1: stored as forget, block input."""
    for x in xs:
        s = w(0, x, h)
        kept, written = sigmoid(s), 1 - sigmoid(s - 1)
        h = kept * h + written * np.tanh(w(1, x, h))
        yield {"h": h}, {"forget": kept, "input": written}


def additive_network(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Lee et al. 2017: stored as input, forget, content; the content sees the input alone."""
    for x in xs:
        i, f = sigmoid(w(0, x, h)), sigmoid(w(1, x, h))
        c = i * (w.input(2, x) + w.b(2)) + f * c
        h = np.tanh(c) if options["squashed"] else c
        yield {"h": h, "c": c}, {"input": i, "forget": f}


def chaos_free(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Laurent & von Brecht 2017: stored as theta, eta, block input."""
    for x in xs:
        theta, eta = sigmoid(w(0, x, h)), sigmoid(w(1, x, h))
        h = theta * np.tanh(h) + eta * np.tanh(w.input(2, x) + w.b(2))
        yield {"h": h}, {"horizontal": theta, "vertical": eta}


def twin_gates(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Zhang et al. 2018: one block of W and one of R, a bias in each."""
    for x in xs:
        p, q = w.input(0, x) + w.b(0), w.recurrent(0, h) + w.b(1)
        i, f = sigmoid(p + q), sigmoid(p - q)
        h = i * p + f * h
        yield {"h": h}, {"input": i, "forget": f}


def stackable(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Turkoglu et al. 2021: W holds gate and block input, R the gate."""
    for x in xs:
        k = sigmoid(w(0, x, h))
        h = np.tanh((1 - k) * h + k * np.tanh(w.input(1, x) + w.b(1)))
        yield {"h": h}, {"input": k}


def light_unit(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Ye et al. 2024: W holds gate and candidate, R the gate; what the paper calls forget gate writes."""
    for x in xs:
        f = sigmoid(w(0, x, h))
        h = (1 - f) * h + f * np.tanh(w.input(1, x) + w.b(1))
        yield {"h": h}, {"input": f, "forget": 1 - f}


def simple_gate(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """DOI 10.1049/gtd2.12056: one block of W, in gate and candidate, and one of R."""
    for x in xs:
        latent = w.input(0, x) + w.b(0)
        f = sigmoid(latent + w.recurrent(0, h) + w.b(1))
        h = np.tanh((1 - f) * latent + f * h)
        yield {"h": h}, {"carry": f}


def searched(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Zoph & Le 2017 as in TensorFlow's NASCell: eight blocks in W and R; in b two belong to block 3, one inside each factor."""
    bias = [w.b(k) for k in (0, 1, 2, 3, 5, 6, 7, 8)]
    for x in xs:
        inputs, states = [w.input(k, x) + bias[k] for k in range(8)], [w.recurrent(k, h) for k in range(8)]
        layer = [one + other for one, other in zip(inputs, states, strict=True)]
        product = relu(inputs[3] * (states[3] + w.b(4)))
        first = np.tanh(sigmoid(layer[0]) * relu(layer[1]))
        second = np.tanh(sigmoid(layer[2]) + product)
        third = np.tanh(np.tanh(layer[4]) * sigmoid(layer[5]))
        fourth = sigmoid(np.tanh(layer[6]) + sigmoid(layer[7]))
        c = np.tanh(first + c) * second
        h = np.tanh(c * np.tanh(third + fourth))
        yield {"h": h, "c": c}, {"root_gate": sigmoid(layer[0]), "show_gate": sigmoid(layer[5])}


def memory_controller(w: Network, xs: Array, h: Array, c: Array, v: Array, options: dict[str, Any]) -> Oracle:
    """Intel 2017: stored as input, forget, block input, output, control; v is fed back."""
    for x in xs:
        i, f, o, m = (sigmoid(w(k, x, v)) for k in (0, 1, 3, 4))
        c = f * c + i * np.tanh(w(2, x, v))
        h, v = o * np.tanh(c), m * np.tanh(c)
        yield {"h": h, "c": c, "v": v}, {"input": i, "forget": f, "output": o, "control": m}


def bistable_together(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Vecoven et al. 2021, nBRC: W holds modulation, update, block input, R the first two."""
    for x in xs:
        a, u = 1 + np.tanh(w(0, x, h)), sigmoid(w(1, x, h))
        h = u * h + (1 - u) * np.tanh(w.input(2, x) + w.b(2) + a * h)
        yield {"h": h}, {"modulation": a, "update": u}


def light_gru(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Ravanelli et al. 2018 without batch normalisation: stored as update, candidate."""
    for x in xs:
        z, n = sigmoid(w(0, x, h)), relu(w(1, x, h))
        h = z * h + (1 - z) * n
        yield {"h": h}, {"update": z}


def strongly_typed(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Balduzzi & Ghifary 2016, T-RNN: stored as content, forget; no R."""
    for x in xs:
        f = sigmoid(w.input(1, x) + w.b(1))
        h = f * h + (1 - f) * (w.input(0, x) + w.b(0))
        yield {"h": h}, {"forget": f}


def bistable_alone(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Vecoven et al. 2021, BRC: W holds modulation, update, block input; the unit's own weights are vectors."""
    for x in xs:
        a = 1 + np.tanh(w.input(0, x) + w.b(0) + w.values["w_a"] * h)
        u = sigmoid(w.input(1, x) + w.b(1) + w.values["w_u"] * h)
        h = u * h + (1 - u) * np.tanh(w.input(2, x) + w.b(2) + a * h)
        yield {"h": h}, {"modulation": a, "update": u}


def weighted_residual(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Kusupati et al. 2018, FastRNN: two numbers for all units."""
    assert w.values["alpha"].shape == w.values["beta"].shape == (1,)
    alpha, beta = (sigmoid(w.values[name][0]) for name in ("alpha", "beta"))
    for x in xs:
        h = alpha * np.tanh(w(0, x, h)) + beta * h
        yield {"h": h}, {"input": np.full(w.H, alpha), "forget": np.full(w.H, beta)}


def shared_matrices(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Kusupati et al. 2018, FastGRNN: one block; b is the bias of the gate, b + d that of the candidate."""
    zeta, nu = (sigmoid(w.values[name][0]) for name in ("zeta", "nu"))
    gate_bias, candidate_bias = w.b(0), w.b(0) + w.values["d"]
    for x in xs:
        shared = w.input(0, x) + w.recurrent(0, h)
        z = sigmoid(shared + gate_bias)
        h = (zeta * (1 - z) + nu) * np.tanh(shared + candidate_bias) + z * h
        yield {"h": h}, {"update": z}


def integrated(w: Network, name: str, own: int, biases: tuple[int, int], x: Array, h: Array) -> Array:
    """Wu et al. 2016: alpha (W x)(U h) + beta_1 U h + beta_2 W x + b, from factors with biases of their own.

    (W x + c)(U h + d) has three terms besides the product of both matrices, which the betas and b of the paper take up.
    """
    alpha, of_input, of_state = (w.values[f"{kind}"] for kind in (f"alpha_{name}", f"beta_{name}", f"beta_{name}_h"))
    c, d = (w.b(block) for block in biases)
    paper = {"input": of_input + alpha * d, "state": of_state + alpha * c, "bias": alpha * c * d + of_input * c + of_state * d}
    Wx, Uh = w.input(own, x), w.recurrent(own, h)
    return alpha * Wx * Uh + paper["state"] * Uh + paper["input"] * Wx + paper["bias"]


def multiplied(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Wu et al. 2016, MI-RNN."""
    for x in xs:
        h = np.tanh(integrated(w, "z", 0, (0, 1), x, h))
        yield {"h": h}, {}


def multiplied_lstm(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Wu et al. 2016, MI-LSTM: four blocks in W and R, in the order input, forget, block input, output; eight in b."""
    for x in xs:
        i, f, z, o = (integrated(w, name, k, (k, k + 4), x, h) for k, name in enumerate("ifzo"))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(z)
        h = sigmoid(o) * np.tanh(c)
        yield {"h": h, "c": c}, {"input": sigmoid(i), "forget": sigmoid(f), "output": sigmoid(o)}


ORACLES: dict[str, Callable[..., Oracle]] = {
    "atr": twin_gates,
    "brc": bistable_alone,
    "cfn": chaos_free,
    "fastgrnn": shared_matrices,
    "fastrnn": weighted_residual,
    "janet": forget_gate_alone,
    "lightru": light_unit,
    "ligru": light_gru,
    "lstm1997": first_lstm,
    "mclstm": memory_controller,
    "mi_lstm": multiplied_lstm,
    "mi_rnn": multiplied,
    "nas_cell": searched,
    "nbrc": bistable_together,
    "ran": additive_network,
    "sgrn": simple_gate,
    "star": stackable,
    "t_rnn": strongly_typed,
    "ugrnn": update_gate_network,
}
