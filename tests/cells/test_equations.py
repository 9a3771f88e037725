"""Every cell against its paper: independent transcriptions in NumPy float64, one step and one row after the other.

Nothing here comes from `gatelab.cells`: the order of the blocks in the weights is stated a second time, by position.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from cells.variants import CELL_NAMES, VARIANTS, Variant, each_variant, normal, random_state, variants
from numpy.typing import NDArray
from tolerances import FLOAT64

from gatelab.models import RNN

Array = NDArray[np.float64]
State = dict[str, Array]
Gates = dict[str, Array]
Oracle = Iterator[tuple[State, Gates]]


def sigmoid(value: Array) -> Array:
    return 1 / (1 + np.exp(-value))


class Network:
    """Weights of one layer for a transcription: blocks of H rows by position, one H-vector by name."""

    def __init__(self, rnn: RNN) -> None:
        self.H = rnn.hidden_size
        self.values = {name: value.detach().numpy() for name, value in rnn.layers["0"].named_parameters()}

    def input(self, block: int, x: Array) -> Array:
        return self.values["W"][block * self.H : (block + 1) * self.H] @ x

    def recurrent(self, block: int, h: Array) -> Array:
        return self.values["R"][block * self.H : (block + 1) * self.H] @ h

    def b(self, block: int) -> Array:
        return self.values["b"][block * self.H : (block + 1) * self.H] if "b" in self.values else np.zeros(self.H)

    def p(self, gate: str) -> Array:
        """Peephole weights, 0 where there are none."""
        return self.values.get(f"p_{gate}", np.zeros(self.H))

    def __call__(self, block: int, x: Array, h: Array) -> Array:
        return self.input(block, x) + self.recurrent(block, h) + self.b(block)


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


# By registry name: a new cell needs a transcription of its paper here.
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

T, B, D, H = 8, 3, 3, 5


def test_every_cell_has_an_oracle() -> None:
    assert set(ORACLES) == set(CELL_NAMES)


def close(actual: torch.Tensor, expected: Any) -> None:
    torch.testing.assert_close(actual, torch.as_tensor(np.asarray(expected)), rtol=FLOAT64, atol=FLOAT64)


@each_variant
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_equations(variant: Variant, bias: bool) -> None:
    """Output, last state, every state and every gate at every step, from a random initial state."""
    rnn = variant.rnn(D, H, bias=bias)
    x, initial = normal(T, B, D), random_state(rnn, B)
    with torch.no_grad():
        output, last = rnn(x, initial)
        _, _, traces = rnn.trace(x, initial)
    for row in range(B):
        start = [part[0, row].numpy() for part in initial]
        steps = list(ORACLES[variant.name](Network(rnn), x[:, row].numpy(), *start, variant.options))
        assert len(steps) == T
        for number, part in enumerate(rnn.cell.state):
            states = [state[part] for state, _ in steps]
            close(traces["0"].states[part][:, row], states)
            close(last[number][0, row], states[-1])
            if number == 0:
                close(output[:, row], states)
        assert set(traces["0"].gates) == set(steps[0][1])
        for word, values in traces["0"].gates.items():
            close(values[:, row], [gates[word] for _, gates in steps])


# Identities between cells: one is another with some of its weights fixed.


def blocks(rnn: RNN, gate: str) -> dict[str, torch.Tensor]:
    """The rows of W, R and b that belong to a pre-activation, and its peephole; assignable."""
    found = {}
    for name, parameter in rnn.layers["0"].named_parameters():
        rows = rnn.cell.rows(name)
        if gate in rows:
            at = rows.index(gate) * rnn.hidden_size
            found[name] = parameter.data[at : at + rnn.hidden_size]
        elif name == f"p_{gate}":
            found["p"] = parameter.data
    return found


def copy(source: RNN, target: RNN, gate: str, sign: float = 1.0, to: str | None = None) -> None:
    """A gate's blocks from one network to the other; a network without peepholes counts as one with zeros."""
    values = blocks(source, gate)
    for name, place in blocks(target, to or gate).items():
        place.copy_(sign * values[name] if name in values else torch.zeros(()))


def assert_identical(left: RNN, right: RNN) -> None:
    x, initial = normal(T, B, D), random_state(left, B)
    for one, other in zip(left(x, initial), right(x, initial), strict=True):
        torch.testing.assert_close(one, other, rtol=FLOAT64, atol=FLOAT64)


def lstm_like(name: str, **options: Any) -> RNN:
    return Variant(name, options).rnn(D, H)


def test_peephole_with_zero_vectors_is_lstm() -> None:
    lstm, peephole = lstm_like("lstm"), lstm_like("peephole")
    for gate in lstm.cell.gates:
        copy(lstm, peephole, gate)
    assert_identical(lstm, peephole)


@pytest.mark.parametrize("name", [variant.name for variant in VARIANTS if variant.options.get("peepholes")])
def test_zero_peepholes_are_no_peepholes(name: str) -> None:
    without, with_zeros = lstm_like(name, peepholes=False), lstm_like(name, peepholes=True)
    for gate in without.cell.gates:
        copy(without, with_zeros, gate)
    assert_identical(without, with_zeros)


@pytest.mark.parametrize("peepholes", [False, True])
def test_cifg_is_an_lstm_with_tied_gates(peepholes: bool) -> None:
    """sigmoid(-a) = 1 - sigmoid(a)"""
    cifg, full = lstm_like("cifg", peepholes=peepholes), lstm_like("peephole")
    for gate in cifg.cell.gates:
        copy(cifg, full, gate)
    copy(cifg, full, "f", sign=-1, to="i")
    assert_identical(cifg, full)


@pytest.mark.parametrize("peepholes", [False, True])
@pytest.mark.parametrize(("name", "fixed"), [("nig", "i"), ("nfg", "f"), ("nog", "o")])
def test_a_missing_gate_is_a_gate_at_one(name: str, fixed: str, peepholes: bool) -> None:
    """sigmoid(40) rounds to 1 in float64."""
    reduced, full = lstm_like(name, peepholes=peepholes), lstm_like("peephole")
    for gate in reduced.cell.gates:
        copy(reduced, full, gate)
    for what, place in blocks(full, fixed).items():
        place.fill_(40.0 if what == "b" else 0.0)
    assert_identical(reduced, full)


def test_leaky_is_a_gate_that_sees_nothing() -> None:
    """f = sigmoid(v) at every step when the gate has its bias alone."""
    gated, leaky = lstm_like("gated_leaky"), lstm_like("leaky")
    copy(gated, leaky, "z")
    for what, place in blocks(gated, "f").items():
        place.copy_(leaky.layers["0"].v.data) if what == "b" else place.zero_()  # type: ignore[union-attr]
    assert_identical(gated, leaky)


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if variant.options.get("window") == 1], ids=str)
def test_attention_with_window_one_is_lstm(variant: Variant) -> None:
    attention, lstm = variant.rnn(D, H), lstm_like("lstm")
    for gate in lstm.cell.gates:
        copy(attention, lstm, gate)
    assert_identical(attention, lstm)


@pytest.mark.parametrize("variant", [variant for variant in variants("attention") if variant.options["window"] != 1], ids=str)
def test_attention_without_window_one_is_not_lstm(variant: Variant) -> None:
    """From the second step on, when there is more than one entry on the tape."""
    attention, lstm = variant.rnn(D, H), lstm_like("lstm")
    for gate in lstm.cell.gates:
        copy(attention, lstm, gate)
    x, initial = normal(T, B, D), random_state(lstm, B)
    difference = (attention(x, initial)[0] - lstm(x, initial)[0]).abs().amax((1, 2))
    assert difference[0] <= FLOAT64
    assert (difference[1:] > 1e-3).all()
