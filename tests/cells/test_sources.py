"""Cells that read the input itself or the time between steps: what the other tests of all cells do not reach."""

import inspect
import math
import re
import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from cells.oracles import ORACLES, Network
from cells.variants import VARIANTS, Variant, normal, random_state
from tolerances import FLOAT64

from gatelab.cells import Cell, parameter_count, without_weights
from gatelab.models import RNN

RAW = [variant for variant in VARIANTS if without_weights(variant.cell(), "raw")]


@pytest.mark.parametrize("variant", RAW, ids=str)
def test_an_input_as_wide_as_the_state_is_not_projected(variant: Variant) -> None:
    T, B, H = 5, 2, 4
    rnn = variant.rnn(H, H)
    assert not [name for name, _ in rnn.named_parameters() if ".W_" in name]
    raw = len(without_weights(rnn.cell, "raw"))
    assert parameter_count(rnn.cell, H + 1, H) == parameter_count(rnn.cell, H, H) + H * len(rnn.cell.rows("W")) + raw * H * (H + 1)
    x, initial = normal(T, B, H), random_state(rnn, B)
    output, _ = rnn(x, initial)
    for row in range(B):
        start = [part[0, row].numpy() for part in initial]
        steps = [state for state, _ in ORACLES[variant.name](Network(rnn), x[:, row].numpy(), *start, variant.options)]
        expected = torch.as_tensor(np.stack([step[rnn.cell.state[0]] for step in steps]))
        torch.testing.assert_close(output[:, row], expected, rtol=FLOAT64, atol=FLOAT64)


def test_the_simple_recurrent_unit_starts_as_published() -> None:
    """Uniform weights with variance 1 / D, half of it for the gates; its own unit's weights with variance 1/2."""
    torch.manual_seed(0)
    D, H = 100, 200
    layer = {name: value.detach() for name, value in RNN("sru", D, H).layers["0"].named_parameters()}
    f, r, z = layer["W"].split(H)
    for weight, variance in (
        (f, 0.5 / D),
        (r, 0.5 / D),
        (z, 1 / D),
        (layer["W_x"], 1 / D),
        (layer["v_f"], 0.5),
        (layer["v_r"], 0.5),
    ):
        bound, n = math.sqrt(3 * variance), weight.numel()
        assert 1 - 20 / n < float(weight.abs().max()) / bound <= 1 + 1e-6
        assert float(weight.var()) == pytest.approx(variance, rel=4 * math.sqrt(0.8 / n))  # the error of a uniform variance


def test_the_simple_recurrent_unit_starts_with_outputs_as_wide_as_its_inputs() -> None:
    """What alpha is for: (3 + var c) / 4 is near the variance 1 of x where r is 1/2, and (1 + var c) / 4 without alpha."""
    torch.manual_seed(0)
    x = torch.randn(10, 20, 200)
    measured = {scaled: float(RNN("sru", 200, 200, rescale=scaled)(x)[0].detach().var()) for scaled in (True, False)}
    assert measured[True] == pytest.approx(1.0, abs=0.1)
    assert measured[False] == pytest.approx(0.4, abs=0.1)


def test_examples_of_the_contract_keep_it() -> None:
    """The cells in the docstring of `Cell` can be built and run."""
    examples = re.findall(r"```python\n(.*?)```", inspect.getdoc(Cell) or "", re.DOTALL)
    assert len(examples) >= 2
    for example in examples:
        known: dict[str, Any] = vars(torch) | {"Cell": Cell, "softplus": torch.nn.functional.softplus}
        exec(textwrap.dedent(example), known)
        cell = dataclass(frozen=True)(known["Mine"])()
        RNN(cell, 3, 4, num_layers=2, backend="eager")(torch.ones(5, 2, 3))


def test_a_gate_of_time_moves_with_it() -> None:
    """`cfc` goes from one value to the other; `gru_d` forgets in a long pause, and a step without one is a GRU's."""
    x = normal(1, 2, 3)
    cfc = Variant("cfc", {}).rnn(3, 4)
    gates = [cfc.trace(x, times=torch.full((2, 1), time))[2]["0"].gates["time"][0] for time in (0.0, 1.0, 1e6)]
    assert bool(((gates[0] - gates[1]).sign() == (gates[1] - gates[2]).sign()).all())
    assert bool(((gates[2] < 1e-6) | (gates[2] > 1 - 1e-6)).all())
    gru_d, initial = Variant("gru_d", {}).rnn(3, 4), (normal(1, 2, 4),)
    with torch.no_grad():
        gru_d.layers["0"].get_parameter("w_d").fill_(0.5)
        gru_d.layers["0"].get_parameter("b_d").zero_()
    zero = (torch.zeros(1, 2, 4, dtype=torch.float64),)
    later, forgotten = gru_d(x, initial, times=torch.full((2, 1), 1e6))[0], gru_d(x, zero)[0]
    torch.testing.assert_close(later, forgotten, rtol=FLOAT64, atol=FLOAT64)
    cho, of = Variant("gru_cho", {}).rnn(3, 4), dict(gru_d.layers["0"].named_parameters())
    opposite = torch.tensor([1.0, -1.0, 1.0]).repeat_interleave(4)  # there z keeps
    with torch.no_grad():
        cho.layers["0"].get_parameter("W").copy_(opposite[:, None] * of["W"])
        cho.layers["0"].get_parameter("R").copy_(torch.cat([of["R_r"], -of["R_z"]]))
        cho.layers["0"].get_parameter("R_n").copy_(of["R_n"])
        cho.layers["0"].get_parameter("b").copy_(opposite * of["b"])
    torch.testing.assert_close(gru_d(x, initial, times=torch.zeros(2, 1))[0], cho(x, initial)[0], rtol=FLOAT64, atol=FLOAT64)


def test_the_linear_recurrent_unit_starts_in_its_ring() -> None:
    """Orvieto et al. 2023: moduli uniform by area, angles uniform, and a gain with which the state is as wide as its input."""
    torch.manual_seed(0)
    D, H = 50, 4000
    layer = {
        name: value.detach() for name, value in RNN("lru", D, H, r_min=0.4, r_max=0.9, max_phase=1.5).layers["0"].named_parameters()
    }
    modulus = torch.exp(-torch.exp(layer["nu"]))
    quarters = torch.tensor([0.25, 0.5, 0.75])
    assert float(modulus.min()) >= 0.4
    assert float(modulus.max()) <= 0.9
    assert ((modulus**2 - 0.16) / 0.65).quantile(quarters).tolist() == pytest.approx([0.25, 0.5, 0.75], abs=0.032)
    assert (torch.exp(layer["theta"]) / 1.5).quantile(quarters).tolist() == pytest.approx([0.25, 0.5, 0.75], abs=0.032)
    torch.testing.assert_close(torch.exp(layer["gamma"]) ** 2, 1 - modulus**2)
    assert float(layer["W"].var()) == pytest.approx(1 / (2 * D), rel=0.02)
    rnn = RNN("lru", D, 100, backend="eager")
    with torch.no_grad():
        output, _ = rnn(torch.randn(3000, 2, D))
    assert output.shape[-1] == 200
    assert float(output[1000:].square().mean()) == pytest.approx(0.5, abs=0.1)  # |state|^2 near 1, in two parts


def test_an_output_of_several_parts_feeds_what_follows() -> None:
    rnn = RNN("lru", 3, 4, num_layers=2, bidirectional=True)
    assert rnn.output_size == 16
    assert rnn.layers["1"].get_parameter("W").shape == (8, 16)
    output, last = rnn(torch.randn(5, 2, 3))
    assert output.shape == (5, 2, 16)
    torch.testing.assert_close(output[-1, :, :8], torch.cat([last[0][2], last[1][2]], -1))
    assert [tuple(part.shape) for part in last] == [(4, 2, 4)] * 2
