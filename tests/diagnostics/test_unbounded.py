"""Gates that are not confined to [0, 1]: the statistics that assume it are not taken of them."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from gatelab.cells import Cell
from gatelab.diagnostics import findings, observe
from gatelab.models import RNN


@dataclass(frozen=True)
class Exponential(Cell):
    """A gate within [0, 1], and one that is not, as in the sLSTM."""

    gates = {"f": "forget", "i": "input", "z": "block_input"}
    unbounded = ("input",)

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f, i = torch.sigmoid(a.f), a.i.exp()
        return {"h": torch.tanh(f * s.h + i * a.z)}, {"forget": f, "input": i}


@dataclass(frozen=True)
class Growing(Exponential):
    """The gate that keeps the state is not confined to [0, 1] itself."""

    retention = "input"


def found(cell: Cell) -> findings.Findings:
    torch.manual_seed(0)
    rnn = RNN(cell, 2, 3)
    rnn.recording = True
    with torch.no_grad():
        rnn(10 * torch.randn(5, 4, 2))
    return findings.of_layers(observe.recorded(rnn), torch.eye(4, 5, dtype=torch.bool))


def test_only_what_has_a_meaning_outside_is_recorded() -> None:
    result = found(Exponential())
    ours = {key for part in (result.scalars, result.histograms, result.arrays) for key in part if key.startswith("gate/0/input")}
    assert ours == {f"gate/0/input/{what}" for what in ("mean", "std", "at_events", "elsewhere")}
    assert result.scalars["gate/0/input/mean"] > 1
    bounded = {key for key in result.scalars if key.startswith("gate/0/forget")}
    assert {"gate/0/forget/saturated_left", "gate/0/forget/entropy"} <= bounded
    assert set(result.histograms) == {"gate/0/forget"}
    assert "timescale/0/q50" in result.scalars


def test_no_timescale_is_read_off_a_gate_that_may_exceed_1() -> None:
    result = found(Growing())
    assert not any(key.startswith(("timescale/", "retention/")) for key in [*result.scalars, *result.arrays])


@pytest.mark.parametrize("cell", [Exponential, Growing])
def test_such_a_cell_keeps_the_contract(cell: type[Cell]) -> None:
    cell().check("mine")
