"""What a cell declares as `delay`: against cells that are given the earlier inputs and states in another way."""

import copy
import dataclasses
import pickle
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from cells.variants import normal
from tolerances import FLOAT64
from torch import Tensor, sigmoid, tanh

from gatelab.cells import Cell
from gatelab.models import RNN
from gatelab.options import option

T, B, D, H = 9, 3, 2, 4

each_backend = pytest.mark.parametrize("backend", ["eager", pytest.param("cpu", marks=pytest.mark.slow)])


@dataclass(frozen=True)
class Plain(Cell):
    """A GRU-like cell without delays; its late product shows that `before` sees the same pre-activations as `step`."""

    gates = {"z": "update", "r": "reset", "n": "candidate"}
    late = {"n": "v"}

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"v": sigmoid(a.r) * s.h}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        z = sigmoid(a.z)
        return {"h": z * s.h + (1 - z) * tanh(a.n)}, {"update": z}


@dataclass(frozen=True)
class Window(Plain):
    """The same with two earlier inputs."""

    delay = {"x": 2}


@dataclass(frozen=True)
class Echo(Cell):
    """A state that is added to the one three steps later, and read by a product there."""

    gates = {"f": "forget", "z": "block_input", "y": "late_input"}
    late = {"y": "h_3"}
    gain: float = option(0.5, "factor on the old state")
    delay = {"h": 3}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f = sigmoid(a.f)
        return {"h": f * s.h + (1 - f) * tanh(a.z + a.y) + self.gain * s.h_2 * s.h_3}, {"forget": f}


def both(backend: str, **settings: Any) -> tuple[RNN, RNN]:
    """A network with a window of three inputs, and one without that is given them side by side."""
    settings = {"dtype": torch.float64, "backend": backend} | settings
    windowed, plain = RNN(Window(), D, H, **settings), RNN(Plain(), 3 * D, H, **settings)
    with torch.no_grad():
        for name, layer in windowed.layers.items():
            other = plain.layers[name]
            for key, value in layer.named_parameters():
                value.copy_(normal(*value.shape, seed=len(key)))
                other.get_parameter(key).copy_(torch.cat(value.chunk(3), 1) if key == "W" else value)
    return windowed, plain


def shifted(x: Tensor, steps: int) -> Tensor:
    return torch.cat((torch.zeros_like(x[:steps]), x[:-steps]))


def beside(x: Tensor) -> Tensor:
    return torch.cat((x, shifted(x, 1), shifted(x, 2)), -1)


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=FLOAT64, atol=FLOAT64)


@each_backend
def test_a_window_is_the_inputs_side_by_side(backend: str) -> None:
    windowed, plain = both(backend)
    x = normal(T, B, D).requires_grad_()
    output, other = windowed(x)[0], plain(beside(x))[0]
    close(output, other)
    weights = normal(T, B, H, seed=3)
    (gradient, *of), (expected, *by) = (
        torch.autograd.grad((result * weights).sum(), [x, *rnn.parameters()])
        for result, rnn in ((output, windowed), (other, plain))
    )
    close(gradient, expected)
    names = [name for name, _ in windowed.layers["0"].named_parameters()]
    for name, one, two in zip(names, of, by, strict=True):
        close(torch.cat(one.chunk(3), 1) if name == "W" else one, two)


@each_backend
def test_a_window_ends_at_resets_and_follows_lengths_in_both_directions(backend: str) -> None:
    """Each episode alone gives the same: its first steps do not see the inputs before it."""
    windowed, _ = both(backend, bidirectional=True)
    x, lengths, at = normal(T, B, D), [9, 6, 9], [4, 3, 0]
    resets = torch.zeros(B, T, dtype=torch.bool)
    for row, step in enumerate(at):
        resets[row, step] = True
    output = windowed(x, lengths=lengths, resets=resets)[0]
    for row, (step, end) in enumerate(zip(at, lengths, strict=True)):
        pieces = [windowed(x[part, row])[0] for part in (slice(0, step), slice(step, end)) if part.stop > part.start]
        close(output[:end, row], torch.cat(pieces))
        assert not output[end:, row].any()


@each_backend
@pytest.mark.parametrize("cell", [Window(), Echo()], ids=["window", "echo"])
@pytest.mark.parametrize("every", [None, 2])
def test_pieces_are_the_whole(cell: Cell, backend: str, every: int | None) -> None:
    """Cut shorter than the delay; to the last bit in the compiled loop, which computes W x step by step."""
    rnn = RNN(cell, D, H, num_layers=2, dtype=torch.float64, backend=backend, checkpoint_every=every)
    x = normal(T, B, D).requires_grad_()
    whole, last = rnn(x)
    state, pieces = None, []
    for piece in x.split([1, 1, 2, 1, 4]):
        output, state = rnn(piece, state)
        pieces.append(output)
    for one, other in zip((torch.cat(pieces), *(state or ())), (whole, *last), strict=True):
        assert torch.equal(one, other) or backend == "eager"
        close(one, other)
    weights = normal(T, B, H, seed=3)
    for one, other in zip(
        torch.autograd.grad((torch.cat(pieces) * weights).sum(), [x, *rnn.parameters()]),
        torch.autograd.grad((whole * weights).sum(), [x, *rnn.parameters()]),
        strict=True,
    ):
        close(one, other)


@each_backend
def test_an_earlier_state_is_that_of_the_trace(backend: str) -> None:
    rnn = RNN(Echo(), D, H, dtype=torch.float64, backend=backend)
    x = normal(T, B, D)
    output, last, traces = rnn.trace(x)
    layer, states = rnn.layers["0"], traces["0"].states
    close(output, states["h"])
    for lag in (2, 3):
        close(states[f"h_{lag}"], shifted(states["h"], lag - 1))
        close(last[lag - 1][0], states["h"][T - lag])
    W, R, late, b = (layer.get_parameter(name) for name in ("W", "R", "R_y", "b"))
    before, second, third = (shifted(output, lag) for lag in (1, 2, 3))
    f, z, y = (x @ W.mT + b).chunk(3, -1)
    f, z = f + before @ R[:H].mT, z + before @ R[H:].mT
    f, y = sigmoid(f), y + third @ late.mT
    close(output, f * before + (1 - f) * tanh(z + y) + 0.5 * second * third)


def test_a_delayed_cell_is_as_other_cells() -> None:
    """It can be compared, copied, changed and sent to another process."""
    cell = Echo(gain=0.25)
    assert cell == Echo(gain=0.25) != Echo()
    assert repr(cell).startswith("Echo(gain=0.25")
    for other in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell)), dataclasses.replace(Echo(), gain=0.25)):
        assert (other, other.state, other.delayed) == (cell, ("h", "h_2", "h_3"), ("h_2", "h_3"))
        h = torch.full((1,), 2.0)
        a, s = (type("Parts", (), dict.fromkeys(names, h)) for names in (cell.gates, cell.state))
        assert torch.equal(other.step(a, s, None)[0]["h"], cell.step(a, s, None)[0]["h"])
        assert not torch.equal(other.step(a, s, None)[0]["h"], Echo().step(a, s, None)[0]["h"])


def test_the_biases_are_those_of_the_pre_activations() -> None:
    """The product of an earlier input has no bias: three blocks, not nine."""
    assert Window().shapes(D, H) == {"W": (9 * H, D), "R": (2 * H, H), "R_n": (H, H), "b": (3 * H,)}
    assert Window().own_state == ("h",)


def test_all_parameters_of_taugru_start_alike() -> None:
    """U(-1/sqrt(H), 1/sqrt(H)), biases included: of 4 H = 4,000 of them, quartiles are within 4 standard errors, 0.032."""
    torch.manual_seed(0)
    b = RNN("taugru", 1, 1000).layers["0"].get_parameter("b").detach() * 1000**0.5
    assert float(b.abs().max()) <= 1
    for share in (0.25, 0.5, 0.75):
        assert abs(float((b < 2 * share - 1).double().mean()) - share) < 0.032
