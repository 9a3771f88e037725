"""What a cell is given beside its products: the input itself, and the time that passes between steps."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from cells.variants import normal
from tolerances import FLOAT64
from torch import Tensor, exp, nn, tanh
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gatelab.cells import Cell
from gatelab.errors import UserError
from gatelab.models import RNN

T, B, D, H = 6, 3, 4, 5
LENGTHS = torch.tensor([6, 2, 4])


@dataclass(frozen=True)
class Decaying(Cell):
    """Its state decays with time."""

    gates = {"x": "raw_input", "z": "candidate", "dt": "elapsed", "r": "rate"}
    sources = {"x": "raw", "dt": "time", "r": "input"}
    retention = "kept"

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        kept = exp(-a.dt.abs() * (1 + a.r.square()))
        return {"h": kept * s.h + (1 - kept) * tanh(a.z) + 0.1 * a.x}, {"kept": kept}


def network(backend: str = "cpu", D: int = D, **settings: Any) -> RNN:
    torch.manual_seed(0)
    return RNN(Decaying(), D, H, backend=backend, dtype=torch.float64, **settings)


def close(left: Any, right: Any) -> None:
    torch.testing.assert_close(left, right, rtol=FLOAT64, atol=FLOAT64)


TIMES = normal(B, T, seed=3).abs() + 0.1


@pytest.mark.parametrize("D", [D, H])
def test_what_is_given_equals_the_equations(D: int) -> None:
    """From the parameters, step by step; the input is projected only where it has another width."""
    rnn, x = network(D=D), normal(T, B, D, seed=1)
    weights = dict(rnn.layers["0"].named_parameters())
    assert ("W_x" in weights) == (D != H)
    W_z, W_r = weights["W"].split(H)
    b_z, b_r = weights["b"].split(H)
    h = torch.zeros(B, H, dtype=torch.float64)
    expected = []
    for t in range(T):
        kept = exp(-TIMES[:, t, None] * (1 + (x[t] @ W_r.T + b_r).square()))
        raw = x[t] @ weights["W_x"].T if D != H else x[t]
        h = kept * h + (1 - kept) * tanh(x[t] @ W_z.T + h @ weights["R"].T + b_z) + 0.1 * raw
        expected.append(h)
    close(rnn(x, times=TIMES)[0], torch.stack(expected))


def test_times_have_derivatives_in_every_backend() -> None:
    found = []
    for backend in ("eager", "cpu"):
        rnn = network(backend, num_layers=2, bidirectional=True)
        x, times = normal(T, B, D, seed=1).requires_grad_(), TIMES.clone().requires_grad_()
        output, _ = rnn(x, lengths=LENGTHS, times=times)
        output.square().sum().backward()
        assert times.grad is not None
        assert bool((times.grad[torch.arange(T) >= LENGTHS[:, None]] == 0).all())
        assert bool((times.grad[torch.arange(T) < LENGTHS[:, None]] != 0).all())
        found.append([output, x.grad, times.grad, *(value.grad for value in rnn.parameters())])
    close(*found)


def test_without_times_every_step_takes_1() -> None:
    rnn, x = network(num_layers=2, bidirectional=True), normal(T, B, D)
    close(rnn(x), rnn(x, times=torch.ones(B, T)))
    close(rnn(x[:, 0]), rnn(x[:, 0], times=[1] * T))


def test_layouts() -> None:
    """Batch-first, packed and single sequences read the same times; nothing behind the end of a row is read."""
    rnn, x = network(num_layers=2, bidirectional=True), normal(T, B, D)
    torn = torch.where(torch.arange(T) < LENGTHS[:, None], TIMES, torch.nan)
    output, last = rnn(x, lengths=LENGTHS, times=torn)
    first = network(num_layers=2, bidirectional=True, batch_first=True)
    close(first(x.transpose(0, 1), lengths=LENGTHS, times=torn)[0].transpose(0, 1), output)
    packed, packed_last = rnn(pack_padded_sequence(x, LENGTHS, enforce_sorted=False), times=TIMES)
    close(pad_packed_sequence(packed)[0], output)
    close(packed_last, last)
    for row, end in enumerate(LENGTHS.tolist()):
        close(rnn(x[:end, row], times=TIMES[row, :end])[0], output[:end, row])


def test_parts_between_resets_are_rows_of_their_own() -> None:
    """In both directions: the first step of each part takes the time since its initial state."""
    rnn, x = network(num_layers=2, bidirectional=True), normal(T, B, D)
    resets = torch.zeros(B, T, dtype=torch.bool)
    resets[:, 4] = True
    output, _ = rnn(x, resets=resets, times=TIMES)
    close(output, torch.cat([rnn(x[:4], times=TIMES[:, :4])[0], rnn(x[4:], times=TIMES[:, 4:])[0]]))


def test_the_reverse_direction_takes_the_time_to_the_step_behind() -> None:
    rnn, x = network(bidirectional=True), normal(T, B, D)
    forwards = network()
    for name, value in rnn.layers["0_reverse"].named_parameters():
        forwards.layers["0"].get_parameter(name).data.copy_(value)
    turned = torch.cat([TIMES[:, :1], TIMES[:, 1:].flip(1)], 1)
    close(rnn(x, times=TIMES)[0][..., H:].flip(0), forwards(x.flip(0), times=turned)[0])


def test_traced_and_exported() -> None:
    rnn, x = network(), normal(T, B, D)
    _, _, traces = rnn.trace(x, times=TIMES)
    close(traces["0"].states["h"], rnn(x, times=TIMES)[0])
    rate = normal(T, B, D) @ rnn.layers["0"].get_parameter("W")[H:].T + rnn.layers["0"].get_parameter("b")[H:]
    close(traces["0"].gates["kept"], exp(-TIMES.T[..., None] * (1 + rate.square())))


@pytest.mark.slow
def test_it_can_be_exported_with_times() -> None:
    rnn, x = network("eager"), normal(T, B, D)
    program = torch.export.export(rnn, (x,), {"times": TIMES})
    close(program.module()(x, times=TIMES)[0], rnn(x, times=TIMES)[0])


@pytest.mark.parametrize(
    ("times", "says"),
    [
        (TIMES.T, rf"times must be numbers of shape \(B, T\) = \({B}, {T}\), but they are float64 of shape \({T}, {B}\)"),
        (TIMES > 1, "but they are bool"),
        ([1.0, 2.0], r"of shape \(2,\)"),
    ],
)
def test_times_that_do_not_fit(times: Any, says: str) -> None:
    with pytest.raises(UserError, match=says):
        network()(normal(T, B, D), times=times)


def test_times_for_a_cell_that_does_not_read_them() -> None:
    with pytest.raises(UserError, match=r"LSTM does not read them; leave them out, .* sources = \{\"dt\": \"time\"\}"):
        RNN("lstm", D, H)(normal(T, B, D, dtype=torch.float32), times=TIMES)


def test_a_weight_of_another_shape_is_named() -> None:
    rnn = network()
    rnn.layers["0"].W_x = nn.Parameter(torch.zeros(2, D, dtype=torch.float64))  # type: ignore[assignment]
    with pytest.raises(UserError, match=rf"The weight W_x has shape \(2, {D}\), but it must be \({H}, {D}\)"):
        rnn(normal(T, B, D))
