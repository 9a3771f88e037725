"""Starts of the gates against their distributions, for every cell of the registry."""

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from cells.variants import CELL_NAMES

from gatelab.cells import CELLS, Cell, keeping
from gatelab.config import GROUPS, ChronoInit, RetentionInit, StandardInit, UniformGateInit
from gatelab.errors import UserError
from gatelab.models import RNN, initialize

H = 400
DRAWN = {"chrono": ChronoInit(t_max=50.0), "uniform_gate": UniformGateInit()}
SETTING = DRAWN | {"retention": RetentionInit(timescale=20.0)}


# Its gates start with weights, also of their own state, that are 10 times as wide as those of others with 2 inputs and 64 units.
SCATTERED = {"sru": 0.3}
KEEPING = [name for name in CELL_NAMES if keeping(CELLS.build(name))]


def kept_by(cell: Cell) -> tuple[str, int]:
    """The word of the pre-activation that decides what is kept, and its sign."""
    (gate, sign) = keeping(cell) or ("", 0)
    return cell.gates[gate], sign


def biases(rnn: RNN, layer: str) -> dict[str, torch.Tensor]:
    words = [rnn.cell.gates[gate] for gate in rnn.cell.biased_gates]
    return dict(zip(words, rnn.layers[layer].get_parameter("b").detach().view(-1, rnn.hidden_size), strict=True))


@pytest.mark.parametrize("init", DRAWN)
@pytest.mark.parametrize("name", KEEPING)
def test_what_keeps_the_state_is_drawn_and_nothing_else_is_touched(name: str, init: str) -> None:
    torch.manual_seed(0)
    rnn = RNN(name, 2, H, num_layers=2)
    before = {key: value.clone() for key, value in rnn.state_dict().items()}
    initialize(rnn, SETTING[init])
    decides, sign = kept_by(rnn.cell)
    for layer in rnn.layers:
        now = biases(rnn, layer)
        kept = sign * now[decides]
        if init == "chrono":
            u = kept.exp()  # 1 + 48 U[0, 1)
            assert 1 <= float(u.min()) < 2
            assert 48 < float(u.max()) <= 49
            assert float(u.mean()) == pytest.approx(25, abs=4 * 48 / math.sqrt(12 * H))
        else:
            gate = torch.sigmoid(kept)
            assert float(gate.mean()) == pytest.approx(0.5, abs=4 / math.sqrt(12 * H))
            assert float(gate.min()) + 1e-6 >= 1 / H
        if "input" in now:
            assert torch.equal(now["input"], -kept)
        for row, word in enumerate(now):
            if word not in ("input", decides):
                assert torch.equal(now[word], before[f"layers.{layer}.b"][row * H : (row + 1) * H])
    for key, value in rnn.state_dict().items():
        assert key.endswith(".b") or torch.equal(value, before[key])
    drawn = [biases(rnn, layer)[decides] for layer in rnn.layers]
    assert not torch.equal(drawn[0], drawn[1])


@pytest.mark.parametrize("name", [name for name in CELL_NAMES if name not in KEEPING])
@pytest.mark.parametrize("init", SETTING)
def test_a_cell_without_such_a_gate_is_told_so(name: str, init: str) -> None:
    cell = CELLS.build(name)
    found = cell.retention in cell.activated
    reason = f"gate '{cell.retention}' of {name} is not the sigmoid of one pre-activ" if found else f"{name} has no such gate"
    words = ", ".join(cell.gates.values())
    pattern = f"init={init} sets the bias of the gate that keeps the state, but .*{reason}.* Its pre-activations are {words}"
    with pytest.raises(UserError, match=pattern):
        initialize(RNN(name, 2, 3), SETTING[init])


@dataclass(frozen=True)
class Mixed(Cell):
    """The gate that keeps the state is a mix of two pre-activations, as in the UR-LSTM."""

    gates = {"f": "forget", "r": "refine", "z": "block_input"}
    retention = "effective"

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        f, r = torch.sigmoid(a.f), torch.sigmoid(a.r)
        g = r * (1 - (1 - f) ** 2) + (1 - r) * f**2
        return {"h": g * s.h + (1 - g) * torch.tanh(a.z)}, {"forget": f, "refine": r, "effective": g}


@pytest.mark.parametrize("init", SETTING)
def test_a_mix_of_pre_activations_is_named_as_such(init: str) -> None:
    """It has a gate that keeps the state: the message does not deny it."""
    pattern = "'effective' of .* is not the sigmoid of one .* no bias sets it. .* forget, refine, block_input. Use init=standard"
    with pytest.raises(UserError, match=pattern):
        initialize(RNN(Mixed(), 2, 3), SETTING[init])


@dataclass(frozen=True)
class Writing(Cell):
    """The gate writes: what keeps the state is 1 minus it."""

    gates = {"r": "reset", "z": "update", "n": "candidate"}
    retention = "keep"

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        r, z = torch.sigmoid(a.r), torch.sigmoid(a.z)
        return {"h": (1 - z) * s.h + z * torch.tanh(r * a.n)}, {"reset": r, "update": z, "keep": 1 - z}


@dataclass(frozen=True)
class Hard(Cell):
    """The gate that keeps the state is not a sigmoid."""

    gates = {"f": "forget", "z": "block_input"}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
        f = (a.f / 6 + 0.5).clamp(0, 1)
        return {"h": f * s.h + (1 - f) * torch.tanh(a.z)}, {"forget": f}


@pytest.mark.parametrize("timescale", [2.0, 20.0, 200.0])
@pytest.mark.parametrize("cell", [*KEEPING, Writing()], ids=str)
def test_all_cells_start_with_the_same_retention(cell: str | Cell, timescale: float) -> None:
    """As measured while sequences are read: the mean of -ln f is 1 / timescale.

    Pre-activations of a fresh network scatter around the bias, and -ln f is convex in them: the mean is 0 to 10% larger, and 17%
    where gates are fed back, which are positive at every step. Weights that start wide scatter more (`SCATTERED`).
    """
    torch.manual_seed(0)
    rnn = RNN(cell, 2, 64, num_layers=2)
    before = {key: value.clone() for key, value in rnn.state_dict().items()}
    initialize(rnn, RetentionInit(timescale=timescale))
    _, _, traces = rnn.trace(torch.randn(20, 8, 2))
    for trace in traces.values():
        measured = -1 / trace.gates[rnn.cell.retention].log().mean()
        assert float(measured.detach()) == pytest.approx(timescale, rel=SCATTERED.get(str(cell), 0.2))
    (gate, _) = keeping(rnn.cell) or ("", 0)
    row = list(rnn.cell.gates).index(gate)
    for key, value in rnn.state_dict().items():
        changed = (value != before[key]).reshape(-1, 64).any(1) if key.endswith(".b") else value != before[key]
        assert changed.nonzero().flatten().tolist() == ([row] if key.endswith(".b") else [])


def test_what_writes_gets_the_opposite_bias() -> None:
    assert keeping(Writing()) == ("z", -1)
    rnn = RNN(Writing(), 2, 3)
    initialize(rnn, RetentionInit(timescale=20.0))
    assert biases(rnn, "0")["update"].tolist() == pytest.approx([-math.log(math.exp(-0.05) / (1 - math.exp(-0.05)))] * 3)
    torch.manual_seed(0)
    initialize(rnn, ChronoInit(t_max=50.0))
    u = (-biases(rnn, "0")["update"]).exp()
    assert 1 <= float(u.min()) <= float(u.max()) <= 49


@pytest.mark.parametrize("init", SETTING)
def test_a_gate_that_is_no_sigmoid_is_refused(init: str) -> None:
    with pytest.raises(UserError, match=r"'forget' of .* is not the sigmoid of one pre-activation"):
        initialize(RNN(Hard(), 2, 3), SETTING[init])


def test_the_standard_start_is_the_start_of_the_module() -> None:
    rnn = RNN("lstm", 2, 3)
    before = {key: value.clone() for key, value in rnn.state_dict().items()}
    initialize(rnn, StandardInit())
    assert all(torch.equal(value, before[key]) for key, value in rnn.state_dict().items())
    assert set(GROUPS["init"]) == {"standard", *SETTING}


def test_without_biases_there_is_nothing_to_set() -> None:
    with pytest.raises(UserError, match=r"Use model\.bias=true"):
        initialize(RNN("lstm", 2, 3, bias=False), ChronoInit())
