"""What cells remember at the start is what their papers claim: the retention gate of a fresh network, where the input is 0."""

import math
from typing import Any

import pytest
import torch

from gatelab.cells import Parts
from gatelab.models import RNN

H = 512


def kept(name: str, gate: str | None = None, layers: int = 1, **options: Any) -> list[torch.Tensor]:
    """The retention gate of every layer, or another, unit by unit, in the first step from the zero state, with an input of 0."""
    torch.manual_seed(0)
    rnn = RNN(name, 2, H, num_layers=layers, dtype=torch.float64, backend="eager", **options)
    with torch.no_grad():
        for layer in rnn.layers.values():  # without the input, gates are what their start says
            layer.get_parameter("W").zero_()
    _, _, traces = rnn.trace(torch.zeros(1, 1, 2, dtype=torch.float64))
    return [trace.gates[gate or rnn.cell.retention][0, 0].detach() for trace in traces.values()]


def quartiles(value: torch.Tensor) -> list[float]:
    return value.quantile(torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)).tolist()


NEAR = 4 * math.sqrt(3 / 16 / H)  # 4 standard errors of the quartile of a uniform variable


def test_ur_lstm_covers_all_timescales_up_to_the_width() -> None:
    """g = f + f (1 - f) (2 r - 1) with r = 1 - f, f uniform in [1/H, 1 - 1/H]: between f^2 and 1 - (1 - f)^2."""
    f = 1 / H + torch.arange(10_000, dtype=torch.float64) / 10_000 * (1 - 2 / H)
    assert quartiles(kept("ur_lstm")[0]) == pytest.approx(quartiles(f + f * (1 - f) * (1 - 2 * f)), abs=1.2 * NEAR)
    rnn = RNN("ur_lstm", 2, H)
    forget = rnn.layers["0"].get_parameter("v").detach().sigmoid()
    assert 1 / H - 1e-6 <= float(forget.min()) < 0.05
    assert 0.95 < float(forget.max()) <= 1 - 1 / H + 1e-6


def test_ur_gru_covers_all_timescales_up_to_the_width() -> None:
    """The same gate as in `ur_lstm`."""
    f = 1 / H + torch.arange(10_000, dtype=torch.float64) / 10_000 * (1 - 2 / H)
    assert quartiles(kept("ur_gru")[0]) == pytest.approx(quartiles(f + f * (1 - f) * (1 - 2 * f)), abs=1.2 * NEAR)


@pytest.mark.parametrize("depth", [2, 5])
def test_rhn_starts_with_closed_highways(depth: int) -> None:
    """Every layer carries sigmoid(2) at the start, where R is small; without R exactly that."""
    rnn = RNN("rhn", 2, 4, dtype=torch.float64, backend="eager", depth=depth)
    with torch.no_grad():
        for name, value in rnn.named_parameters():
            value.mul_(float(name.endswith("b")))
    _, _, traces = rnn.trace(torch.zeros(1, 1, 2, dtype=torch.float64))
    expected = torch.full((4,), 1 / (1 + math.exp(-2)), dtype=torch.float64) ** depth
    torch.testing.assert_close(traces["0"].gates["kept"][0, 0], expected)


def test_goru_starts_with_rotations_and_small_weights() -> None:
    """Of the orthogonal matrix only the angles of pairs of units are set."""
    torch.manual_seed(0)
    layer = RNN("goru", 30, 64).layers["0"]
    R, W, b, v = (layer.get_parameter(name).detach() for name in ("R", "W", "b", "v"))
    for small in (W, R[:128]):
        assert 0.009 < float(small.abs().max()) <= 0.01
        assert quartiles(small.double().flatten()) == pytest.approx([-0.005, 0.0, 0.005], abs=0.0005)
    angles = R[128:].diagonal(1)[::2]
    assert int(R[128:].count_nonzero()) == len(angles) == 32
    assert 2.0 < float(angles.abs().max()) <= math.pi
    assert (b.tolist(), v.tolist()) == ([0.0] * 64 + [2.0] * 64 + [0.0] * 128, [2.0] * 64)


@pytest.mark.parametrize("power", [1.0, 8.0])
def test_rg_lru_starts_in_the_ring(power: float) -> None:
    """sigmoid(lam)^power, squared, is uniform in [0.9^2, 0.999^2]; without input r = 1/2, so that a = sigmoid(lam)^4."""
    ring = kept("rg_lru", power=power)[0] ** (power / 4)
    assert 0.9 <= float(ring.min()) <= float(ring.max()) <= 0.999
    assert quartiles((ring**2 - 0.9**2) / (0.999**2 - 0.9**2)) == pytest.approx([0.25, 0.5, 0.75], abs=NEAR)


def test_the_floor_of_hgrn_rises_from_layer_to_layer() -> None:
    for layer, value in enumerate(kept("hgrn", layers=4)):
        floor = layer / 4
        torch.testing.assert_close(value, torch.full_like(value, floor + (1 - floor) / 2))


def test_slstm_forgets_by_a_power_law_of_the_unit() -> None:
    """In three layers, by the formula of the authors' code, -(-5 + 12 (k / (H-1))^(0.3 + 1.3 depth))."""
    k = torch.arange(H, dtype=torch.float64) / (H - 1)
    for depth, value in zip((0.0, 0.5, 1.0), kept("slstm", "forget", layers=3), strict=True):
        torch.testing.assert_close(value, torch.sigmoid(-(-5 + 12 * k ** (0.3 + 1.3 * depth))))


def test_rwkv4_decays_by_a_power_law_of_the_unit() -> None:
    """The maximum that all weights are relative to falls by w = exp(decay) a step, where keys are too small to hold it."""
    rnn = RNN("rwkv4", 2, H, num_layers=2, dtype=torch.float64)
    k = torch.arange(H, dtype=torch.float64) / (H - 1)
    for layer, depth in zip(rnn.layers.values(), (0.0, 1.0), strict=True):
        speed = layer.get_parameter("decay").detach().exp()
        torch.testing.assert_close(speed, torch.exp(-5 + 8 * k ** (0.7 + 1.3 * depth)))
        a = Parts(k=torch.full_like(k, -100.0), v=torch.zeros_like(k), r=torch.zeros_like(k))
        s = Parts(h=torch.zeros_like(k), num=torch.ones_like(k), den=torch.ones_like(k), max=torch.zeros_like(k))
        state, gates = rnn.cell.step(a, s, Parts(decay=speed.log(), u=torch.zeros_like(k)))
        torch.testing.assert_close(state["max"], -speed)
        torch.testing.assert_close(gates["effective"], torch.ones_like(k))


def test_irnn_adds_its_inputs_up() -> None:
    """With R = I, an input that is not negative is never lost."""
    rnn = RNN("irnn", 3, 3, dtype=torch.float64)
    with torch.no_grad():
        rnn.layers["0"].get_parameter("W").copy_(torch.eye(3))
        x = torch.rand(50, 1, 3, dtype=torch.float64)
        torch.testing.assert_close(rnn(x)[0], x.cumsum(0))
