"""The time loop: replicas, records, declarations that no built-in cell combines, and the choice of a backend."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from cells.variants import Variant, each_kind, normal, random_state
from kernels.late_cells import AllLate, LateTwice, completed
from tolerances import EXACT, FLOAT64
from torch import Tensor

from gatelab.cells import Cell, Parts
from gatelab.errors import UserError
from gatelab.kernels import BACKENDS, Scan, Weights, _serving, check_backend, eager, replay, scan
from gatelab.models import RNN

N, T, B, D, H = 3, 5, 4, 2, 3
LENGTHS = torch.tensor([T, 2, 1, 4])


def close(left: Any, right: Any, tolerance: float = FLOAT64) -> None:
    torch.testing.assert_close(left, right, rtol=tolerance, atol=tolerance)


# Replicas and records.


def replicas(variant: Variant, bias: bool) -> tuple[Cell, list[Weights], Weights]:
    """N networks of one layer with different weights, one by one and stacked."""
    networks = [variant.rnn(D, H, scale=0.3 + 0.3 * n, bias=bias) for n in range(N)]
    single: list[Weights] = [network.layers["0"].weights() for network in networks]  # type: ignore[operator]

    def stack(values: list[Tensor | None]) -> Tensor | None:
        return torch.cat([value for value in values if value is not None]) if values[0] is not None else None

    def stack_named(values: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        return {name: torch.cat([value[name] for value in values]) for name in values[0]}

    whole = Weights(
        stack([weights.W for weights in single]),
        stack([weights.R for weights in single]),
        stack([weights.b for weights in single]),
        stack_named([weights.p for weights in single]),
        stack_named([weights.memory for weights in single]),
        stack_named([weights.late for weights in single]),
    )
    return networks[0].cell, single, whole


@each_kind
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["whole", "lengths"])
def test_replicas_are_separate_calls(variant: Variant, bias: bool, lengths: Tensor | None) -> None:
    cell, single, whole = replicas(variant, bias)
    x = normal(N, T, B, D + cell.timed)
    s0 = tuple(torch.tanh(normal(N, B, H, seed=3 + part)) for part in range(len(cell.state)))
    together = scan(cell, whole, x, s0, "eager", lengths, record=True)
    states, gates = replay(cell, whole, together.record)  # type: ignore[arg-type]
    for n in range(N):
        at = slice(n, n + 1)
        alone = scan(cell, single[n], x[at], tuple(part[at] for part in s0), "eager", lengths, record=True)
        close(together.output[at], alone.output)
        close(tuple(part[at] for part in together.state), alone.state)
        alone_states, alone_gates = replay(cell, single[n], alone.record)  # type: ignore[arg-type]
        close({name: value[at] for name, value in states.items()}, alone_states)
        close({name: value[at] for name, value in gates.items()}, alone_gates)


@each_kind
def test_record_is_what_step_was_given(variant: Variant) -> None:
    """`step` on each recorded time step is the next state: from it `replay` gets all states and gates in one call."""
    rnn = variant.rnn(D, H)
    weights = rnn.layers["0"].weights()  # type: ignore[operator]
    x, s0 = normal(1, T, B, D + rnn.cell.timed), random_state(rnn, B)
    output, last, record = scan(rnn.cell, weights, x, s0, "eager", record=True)
    assert record is not None
    assert list(record.a) == list(rnn.cell.gates)
    assert list(record.s) == list(rnn.cell.state)
    states, gates = replay(rnn.cell, weights, record)
    assert all(value.shape == (1, T, B, H) for part in (*record, states, gates) for value in part.values())
    close(torch.cat([states[name] for name in rnn.cell.outputs], -1), output)
    for name, part in zip(rnn.cell.state, last, strict=True):
        close(states[name][:, -1], part)
    p = Parts(**{name: value[:, None] for name, value in weights.p.items()})
    for t in range(T):
        a, s = (Parts(**{name: value[:, t] for name, value in part.items()}) for part in record)
        new, activated = rnn.cell.step(a, s, p)
        close({name: value[:, t] for name, value in states.items()}, new)
        close({name: value[:, t] for name, value in gates.items()}, activated)
    memory = rnn.cell.memory
    if memory is None or memory.window == 1:
        for name, start in zip(rnn.cell.state, s0, strict=True):
            close(record.s[name], torch.cat((start[:, None], states[name][:, :-1]), 1))
    assert scan(rnn.cell, weights, x, s0, "eager").record is None


# Declarations that no built-in cell combines so.


@dataclass(frozen=True)
class InputOnly(Cell):
    """No recurrent product at all, as in gates that see the input alone."""

    gates = {"z": "update", "n": "candidate"}
    sources = {"z": "input", "n": "input"}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        z = torch.sigmoid(a.z)
        return {"h": (1 - z) * s.h + z * a.n}, {"update": z}


@dataclass(frozen=True)
class RecurrentOnly(Cell):
    """No input product at all."""

    gates = {"z": "candidate"}
    sources = {"z": "recurrent"}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"h": torch.tanh(a.z)}, {}


@dataclass(frozen=True)
class Crossed(Cell):
    """Blocks of W and R that differ in number and order, two parts of the state fed back in another order, a vector, and an
    output that is not the first gate's.
    """

    gates = {"m": "recurrent_part", "u": "update", "n": "input_part", "k": "keep"}
    state = ("y", "q", "r")
    feedback = ("r", "y")
    sources = {"n": "input", "m": "recurrent"}
    vectors = ("scale",)

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        u, k = torch.sigmoid(a.u), torch.sigmoid(a.k + p.scale * s.q)
        q = k * s.q + u * torch.tanh(a.n + u * a.m)
        return {"r": torch.tanh(q) - s.y, "y": k * torch.tanh(q), "q": q}, {"update": u, "keep": k}


def loop(cell: Cell, w: dict[str, Tensor], x: Tensor, s0: tuple[Tensor, ...]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The equation of the contract, term by term, for one layer: a_g = W_g x + R_g [feedback, or what a late one reads] + b_g."""
    s = dict(zip(cell.state, s0, strict=True))
    outputs = []
    for t in range(len(x)):
        a = {}
        for position, gate in enumerate(cell.gates):
            value = torch.zeros(len(x[t]), H, dtype=x.dtype)
            if gate in cell.input_gates:
                at = cell.input_gates.index(gate) * H
                value = value + x[t] @ w["W"][at : at + H].T
            if gate in cell.recurrent_gates:
                at = cell.recurrent_gates.index(gate) * H
                value = value + torch.cat([s[name] for name in cell.feedback], -1) @ w["R"][at : at + H].T
            if "b" in w:
                value = value + w["b"][position * H : (position + 1) * H]
            a[gate] = value
        p = Parts(**{name: w[name] for name in cell.vectors})
        given = completed(cell, w, a, s, p)
        s, _ = cell.step(given, Parts(**s), p)
        outputs.append(s[cell.state[0]])
    return torch.stack(outputs), tuple(s[name] for name in cell.state)


DECLARED = [InputOnly(), RecurrentOnly(), Crossed(), LateTwice(), AllLate()]


@pytest.mark.parametrize("cell", DECLARED, ids=lambda cell: type(cell).__name__)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_every_declaration_means_what_the_contract_says(cell: Cell, bias: bool) -> None:
    rnn = RNN(cell, D, H, bias=bias, backend="eager", dtype=torch.float64)
    with torch.no_grad():
        for number, parameter in enumerate(rnn.parameters()):
            parameter.copy_(normal(*parameter.shape, seed=10 + number))
    weights: dict[str, Tensor] = dict(rnn.layers["0"].named_parameters())
    assert ("W" in weights, "R" in weights) == (bool(cell.input_gates), bool(cell.recurrent_gates))
    x, state = normal(T, B, D), random_state(rnn, B)
    output, last = rnn(x, state)
    expected, expected_last = loop(cell, weights, x, tuple(part[0] for part in state))
    close(output, expected)
    close(tuple(part[0] for part in last), expected_last)
    assert torch.equal(rnn.trace(x, state)[0], output)


# The choice of a backend.


def stub(reason: str | None, calls: list[str]) -> SimpleNamespace:
    """A backend that refuses for that reason, or answers with the eager loop and notes that it did."""

    def answer(*arguments: Any) -> Scan:
        calls.append("stub")
        return eager.scan(*arguments)

    return SimpleNamespace(DEVICE=None, refuses=lambda *arguments: reason, scan=answer)


REASON = "it speaks Fortran only."


@pytest.fixture
def backends(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """An own list of backends, in which nothing has been said yet."""
    monkeypatch.setattr(_serving, "_said", set())
    monkeypatch.setattr(_serving, "BACKENDS", found := {"eager": eager})
    return found  # type: ignore[return-value]


def run(backend: str) -> Scan:
    rnn = Variant("lstm", {}).rnn(D, H)
    weights = rnn.layers["0"].weights()  # type: ignore[operator]
    return scan(rnn.cell, weights, normal(1, T, B, D), random_state(rnn, B), backend)


def test_eager_serves_everything_and_is_the_last_resort() -> None:
    assert list(BACKENDS)[-1] == "eager"
    assert BACKENDS["eager"].refuses(Crossed(), torch.bfloat16, torch.device("meta"), "nothing can be read", True, True) is None


def test_unknown_backend(backends: dict[str, Any]) -> None:
    backends["fortran"] = stub(None, [])
    for call in (check_backend, run, lambda name: RNN("lstm", D, H, backend=name)):
        with pytest.raises(UserError, match=r"Unknown backend 'egaer'. Did you mean 'eager'\? Available: auto, eager, fortran."):
            call("egaer")
    for name in ("auto", "eager", "fortran"):
        check_backend(name)


def test_auto_takes_the_first_that_serves(backends: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []
    backends.clear()
    backends |= {"fortran": stub(None, calls), "eager": eager}
    expected = run("eager")
    assert calls == []
    close(run("auto").output, expected.output, EXACT)
    assert calls == ["stub"]
    run("fortran")
    assert calls == ["stub", "stub"]
    assert not caplog.records


def test_auto_passes_over_a_refusal_and_says_so_once(backends: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    calls: list[str] = []
    backends.clear()
    backends |= {"fortran": stub(REASON, calls), "eager": eager}
    with caplog.at_level(logging.WARNING):
        close(run("auto").output, run("eager").output, EXACT)
        run("auto")
        backends["fortran"].refuses = lambda *arguments: "it is asleep."
        run("auto")
    assert calls == []
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", f"Skipping backend 'fortran': {REASON}"),
        ("WARNING", "Skipping backend 'fortran': it is asleep."),
    ]
    assert {record.name for record in caplog.records} == {"gatelab.kernels._serving"}


def test_a_backend_asked_for_by_name_says_why_it_cannot(backends: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    backends["fortran"] = stub(REASON, calls := [])
    with pytest.raises(UserError, match=f"^Backend 'fortran' cannot run this: {REASON}$"):
        run("fortran")
    with pytest.raises(UserError, match="cannot run this"):
        RNN("lstm", D, H, backend="fortran")(torch.zeros(T, B, D))
    assert calls == []
    assert not caplog.records


def test_a_backend_gets_what_the_module_was_given(backends: dict[str, Any]) -> None:
    seen: list[tuple[Any, ...]] = []

    def answer(*arguments: Any) -> Scan:
        seen.append(arguments)
        return eager.scan(*arguments)

    backends["fortran"] = SimpleNamespace(DEVICE=None, refuses=lambda *arguments: None, scan=answer)
    rnn = Variant("peephole", {}).rnn(D, H, backend="fortran", checkpoint_every=7, batch_first=True, bidirectional=True)
    rnn(normal(B, T, D), lengths=LENGTHS)
    rnn.trace(normal(B, T, D))
    assert len(seen) == 4
    for arguments in seen:
        cell, weights, x, s0 = arguments[:4]
        assert cell is rnn.cell
        assert x.shape == (1, T, B, D)
        assert [part.shape for part in s0] == [(1, B, H)] * 2
        assert weights.W.shape == (1, 4 * H, D)
        assert weights.R.shape == (1, 4 * H, H)
        assert weights.b.shape == (1, 4 * H)
        assert {name: value.shape for name, value in weights.p.items()} == dict.fromkeys(("p_i", "p_f", "p_o"), (1, H))
        assert weights.memory == {}
        assert arguments[6:] == (7, None, None, None)
    assert [(arguments[4] is None, arguments[5]) for arguments in seen] == [(False, False)] * 2 + [(True, True)] * 2
    tape = Variant("attention", {"window": 2}).rnn(D, H, backend="fortran")
    tape(normal(T, B, D))
    memory = {name: tuple(value.shape) for name, value in seen[-1][1].memory.items()}
    assert memory == {"K": (1, H, H), "Q": (1, H, D), "P": (1, H, H), "v": (1, H)}
