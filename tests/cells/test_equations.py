"""Every cell against the transcription of its paper in `cells.oracles`, and identities between cells."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from cells.oracles import ORACLES, Network
from cells.variants import CELL_NAMES, VARIANTS, Variant, each_variant, normal, random_state, variants
from tolerances import FLOAT64

from gatelab.cells import Parts
from gatelab.kernels import scan
from gatelab.models import RNN

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
        close(output[:, row], [np.concatenate([state[part] for part in rnn.cell.outputs]) for state, _ in steps])
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


def test_janet_without_beta_is_gated_leaky() -> None:
    janet, gated = lstm_like("janet", beta=0.0), lstm_like("gated_leaky")
    for gate in gated.cell.gates:
        copy(janet, gated, gate)
    assert_identical(janet, gated)


def test_janet_comes_near_its_bound() -> None:
    """exp(beta) is reached where the gate is nearly open: there it writes that much more than it forgets."""
    a, h = Parts(f=torch.tensor(6.0), z=torch.tensor(40.0)), torch.tensor(0.0)
    cell = Variant("janet", {}).cell()
    for _ in range(5000):
        h = cell.step(a, Parts(h=h), Parts())[0]["h"]
    assert 0.99 * math.e < float(h) < math.e


def test_ugrnn_is_gated_leaky() -> None:
    """The same equations were found twice."""
    update, leaky = lstm_like("ugrnn"), lstm_like("gated_leaky")
    copy(update, leaky, "g", to="f")
    copy(update, leaky, "z")
    assert_identical(update, leaky)


@pytest.mark.parametrize(
    ("name", "a", "scalars", "bound"),
    [
        ("fastrnn", {"z": 40.0}, {"alpha": 40.0, "beta": 0.0}, 1.0),
        ("fastgrnn", {"q": -40.0}, {"d": 0.0, "zeta": 40.0, "nu": 40.0}, 2.0),
    ],
)
def test_scalars_at_their_limits_reach_the_bound(name: str, a: dict[str, float], scalars: dict[str, float], bound: float) -> None:
    parts = ({key: torch.tensor(value).double() for key, value in group.items()} for group in (a, {"h": 0.0}, scalars))
    state, _ = Variant(name, {}).cell().step(*(Parts(**part) for part in parts))
    assert float(state["h"].abs()) == pytest.approx(bound, rel=FLOAT64)


def test_scalars_are_one_number_for_all_units() -> None:
    """The gradient of a scalar is the sum over the units of the gradient of the vector that it stands for."""
    rnn = Variant("fastrnn", {}).rnn(D, H)
    layer = rnn.layers["0"]
    rnn(normal(T, B, D))[0].square().sum().backward()
    vectors = {name: getattr(layer, name).detach().expand(H).clone().requires_grad_() for name in ("alpha", "beta")}
    weights = layer.weights()._replace(p={name: value[None] for name, value in vectors.items()})  # type: ignore[operator]
    output = scan(rnn.cell, weights, normal(T, B, D)[None], (torch.zeros(1, B, H, dtype=torch.float64),), "eager").output
    for name, value in zip(vectors, torch.autograd.grad(output.square().sum(), list(vectors.values())), strict=True):
        assert getattr(layer, name).shape == (1,)
        torch.testing.assert_close(getattr(layer, name).grad, value.sum()[None], rtol=FLOAT64, atol=FLOAT64)


def test_rhn_of_any_depth() -> None:
    test_equations(Variant("rhn", {"depth": 4}), bias=True)


def test_rhn_with_open_deeper_layers_closed_is_ugrnn() -> None:
    """A layer whose transform gate is 0 carries what it reads; `ugrnn` has the gate turned round."""
    rhn, ugrnn = Variant("rhn", {}).rnn(D, H), Variant("ugrnn", {}).rnn(D, H)
    copy(rhn, ugrnn, "n1", to="z")
    copy(rhn, ugrnn, "t1", sign=-1.0, to="g")
    for what, place in blocks(rhn, "t2").items():
        place.fill_(-800.0 if what == "b" else 0.0)
    assert_identical(rhn, ugrnn)


def test_rwa_with_equal_weights_is_a_mean() -> None:
    """Of u . g over all steps so far, squashed."""
    rnn = Variant("rwa", {}).rnn(D, H)
    for what, place in blocks(rnn, "a").items():
        place.fill_(3.0 if what == "b" else 0.0)
    for what, place in blocks(rnn, "g").items():
        place.fill_(40.0 if what == "b" else 0.0)
    x = normal(T, B, D)
    layer = rnn.layers["0"]
    u = x @ layer.W[:H].T + layer.b[:H]  # type: ignore[index, operator]
    close(rnn(x)[0].detach(), torch.tanh(u.cumsum(0) / torch.arange(1, T + 1)[:, None, None]).detach())
