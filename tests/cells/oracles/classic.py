"""The simple network, the LSTM with the variants of the odyssey, the GRU, the leaky networks, and attention."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from cells.oracles._network import Array, Network, Oracle, sigmoid


def elman(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Elman 1990, with tanh."""
    for x in xs:
        h = np.tanh(w(0, x, h))
        yield {"h": h}, {}


def vanilla(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Greff et al. 2017, V, and without peepholes Gers et al. 2000: stored as input, forget, block input, output."""
    for x in xs:
        i = sigmoid(w(0, x, h) + w.p("i") * c)
        f = sigmoid(w(1, x, h) + w.p("f") * c)
        z = np.tanh(w(2, x, h))
        new = z * i + c * f
        o = sigmoid(w(3, x, h) + w.p("o") * new)
        c, h = new, np.tanh(new) * o
        yield {"h": h, "c": c}, {"input": i, "forget": f, "output": o}


def coupled(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Greff et al. 2017, CIFG: stored as forget, block input, output."""
    for x in xs:
        f = sigmoid(w(0, x, h) + w.p("f") * c)
        z = np.tanh(w(1, x, h))
        new = z * (1 - f) + c * f
        o = sigmoid(w(2, x, h) + w.p("o") * new)
        c, h = new, np.tanh(new) * o
        yield {"h": h, "c": c}, {"input": 1 - f, "forget": f, "output": o}


def no_input_gate(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Greff et al. 2017, NIG: stored as forget, block input, output."""
    for x in xs:
        f = sigmoid(w(0, x, h) + w.p("f") * c)
        z = np.tanh(w(1, x, h))
        new = z + c * f
        o = sigmoid(w(2, x, h) + w.p("o") * new)
        c, h = new, np.tanh(new) * o
        yield {"h": h, "c": c}, {"forget": f, "output": o}


def no_forget_gate(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Greff et al. 2017, NFG: stored as input, block input, output."""
    for x in xs:
        i = sigmoid(w(0, x, h) + w.p("i") * c)
        z = np.tanh(w(1, x, h))
        new = z * i + c
        o = sigmoid(w(2, x, h) + w.p("o") * new)
        c, h = new, np.tanh(new) * o
        yield {"h": h, "c": c}, {"input": i, "output": o}


def no_output_gate(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Greff et al. 2017, NOG: stored as input, forget, block input."""
    for x in xs:
        i = sigmoid(w(0, x, h) + w.p("i") * c)
        f = sigmoid(w(1, x, h) + w.p("f") * c)
        c = np.tanh(w(2, x, h)) * i + c * f
        h = np.tanh(c)
        yield {"h": h, "c": c}, {"input": i, "forget": f}


def not_squashed(input_function: Callable[[Array], Array], output_function: Callable[[Array], Array]) -> Callable[..., Oracle]:
    """Greff et al. 2017, with other g and h; NIAF: g(x) = x, NOAF: h(x) = x."""

    def oracle(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
        for x in xs:
            i = sigmoid(w(0, x, h) + w.p("i") * c)
            f = sigmoid(w(1, x, h) + w.p("f") * c)
            new = input_function(w(2, x, h)) * i + c * f
            o = sigmoid(w(3, x, h) + w.p("o") * new)
            c, h = new, output_function(new) * o
            yield {"h": h, "c": c}, {"input": i, "forget": f, "output": o}

    return oracle


def gates_see_gates(w: Network, xs: Array, h: Array, c: Array, i: Array, f: Array, o: Array, options: dict[str, Any]) -> Oracle:
    """Greff et al. 2017, FGR, and the block input sees the gates as well: R acts on output and gates of the step before."""
    for x in xs:
        y = np.concatenate((h, i, f, o))
        i = sigmoid(w(0, x, y) + w.p("i") * c)
        f = sigmoid(w(1, x, y) + w.p("f") * c)
        new = np.tanh(w(2, x, y)) * i + c * f
        o = sigmoid(w(3, x, y) + w.p("o") * new)
        c, h = new, np.tanh(new) * o
        yield {"h": h, "c": c, "i": i, "f": f, "o": o}, {"input": i, "forget": f, "output": o}


def gated_unit(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Cho et al. 2014 in cuDNN's form: W and R hold reset, update, candidate; b has a fourth block inside the reset."""
    for x in xs:
        r = sigmoid(w(0, x, h))
        z = sigmoid(w(1, x, h))
        n = np.tanh(w.input(2, x) + w.b(2) + r * (w.recurrent(2, h) + w.b(3)))
        h = (1 - z) * n + z * h
        yield {"h": h}, {"reset": r, "update": z}


def leaky_network(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Tallec & Ollivier 2018, leaky, with the leak of each unit as sigmoid(-v)."""
    leak = sigmoid(-w.values["v"])
    for x in xs:
        h = leak * np.tanh(w(0, x, h)) + (1 - leak) * h
        yield {"h": h}, {"forget": 1 - leak}


def gated_leaky_network(w: Network, xs: Array, h: Array, options: dict[str, Any]) -> Oracle:
    """Tallec & Ollivier 2018, with g = sigmoid(-a_f): stored as forget, block input."""
    for x in xs:
        g = sigmoid(-w(0, x, h))
        h = g * np.tanh(w(1, x, h)) + (1 - g) * h
        yield {"h": h}, {"forget": 1 - g}


def lstmn(w: Network, xs: Array, h: Array, c: Array, options: dict[str, Any]) -> Oracle:
    """Cheng et al. 2016, LSTMN: attention over the tapes of h and c, then the LSTM."""
    K, Q, P = (w.values[f"memory_{name}"] for name in "KQP")
    tape, summary = [(h, c)], h
    for x in xs:
        read = tape if options["window"] is None else tape[-options["window"] :]
        scores = []
        for h_j, _ in read:
            if options["score"] == "additive":
                scores.append(w.values["memory_v"] @ np.tanh(K @ h_j + Q @ x + P @ summary))
            else:
                scores.append((K @ h_j) @ (Q @ x + P @ summary) / math.sqrt(w.H))
        weights = [math.exp(score) / sum(map(math.exp, scores)) for score in scores]
        summary = sum((weight * h_j for weight, (h_j, _) in zip(weights, read, strict=True)), np.zeros(w.H))
        memory = sum((weight * c_j for weight, (_, c_j) in zip(weights, read, strict=True)), np.zeros(w.H))
        [(state, gates)] = vanilla(w, x[None], summary, memory, options)
        tape.append((state["h"], state["c"]))
        yield state, gates


ORACLES: dict[str, Callable[..., Oracle]] = {
    "attention": lstmn,
    "cifg": coupled,
    "fgr": gates_see_gates,
    "gated_leaky": gated_leaky_network,
    "gru": gated_unit,
    "leaky": leaky_network,
    "lstm": vanilla,
    "nfg": no_forget_gate,
    "niaf": not_squashed(lambda value: value, np.tanh),
    "nig": no_input_gate,
    "noaf": not_squashed(np.tanh, lambda value: value),
    "nog": no_output_gate,
    "peephole": vanilla,
    "rnn": elman,
}
