"""Cells with heads: recurrent matrices have a block for each head, in place of all rows and columns."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from cells.oracles import ORACLES, Network
from cells.variants import Variant, normal
from tolerances import FLOAT64
from torch import Tensor, sigmoid, tanh

from gatelab.cells import CELLS, Antisymmetric, Cell, operand_shapes, parameter_count
from gatelab.diagnostics.cost import flops_per_step, parameter_formula
from gatelab.errors import UserError
from gatelab.models import RNN
from gatelab.options import option

T, B, D, H, HEADS = 5, 2, 3, 6, 3


@dataclass(frozen=True)
class Headed(Cell):
    """Two parts are fed back, and a late pre-activation reads two."""

    gates = {"f": "forget", "n": "candidate"}
    state = ("h", "c")
    feedback = ("h", "c")
    late = {"n": ("v", "h")}

    heads: int = option(HEADS, "blocks", minimum=1)

    def before(self, a: Any, s: Any, p: Any) -> dict[str, Tensor]:
        return {"v": sigmoid(a.f) * s.c}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        f = sigmoid(a.f)
        c = f * s.c + (1 - f) * tanh(a.n)
        return {"h": tanh(c), "c": c}, {"forget": f}


def network(cell: Cell, backend: str = "eager") -> RNN:
    torch.manual_seed(0)
    rnn = RNN(cell, D, H, num_layers=2, backend=backend, dtype=torch.float64)
    with torch.no_grad():
        for value in rnn.parameters():
            value.normal_()
    return rnn


def test_matrices_are_those_of_blocks() -> None:
    """Each block of a gate and of a part that it reads is block-diagonal, with the parameters in place."""
    layer = network(Headed()).stack()[0]
    each = H // HEADS
    assert {name: tuple(value.shape) for name, value in layer.named_parameters()} == {
        "W": (2 * H, D),
        "R": (H, 2 * each),
        "R_n": (H, 2 * each),
        "b": (2 * H,),
    }
    named = layer.weights().named()
    assert {name: tuple(value.shape[1:]) for name, value in named.items()} == operand_shapes(layer.cell, D, H)
    for name in ("R", "R_n"):
        blocks = layer.get_parameter(name).split(each)
        expected = [torch.block_diag(*(block[:, part * each : (part + 1) * each] for block in blocks)) for part in range(2)]
        assert torch.equal(named[name][0], torch.cat(expected, 1))


@pytest.mark.parametrize("cell", [Headed(), CELLS.build("slstm", heads=2)], ids=["two parts", "slstm"])
def test_backends_agree_and_heads_are_apart(cell: Cell) -> None:
    found = []
    for backend in ("eager", "cpu"):
        rnn, x = network(cell, backend), normal(T, B, D).requires_grad_()
        output, _ = rnn(x)
        output.sin().sum().backward()
        found.append([output, x.grad, *(value.grad for value in rnn.parameters())])
    torch.testing.assert_close(*found, rtol=FLOAT64, atol=FLOAT64)
    rnn = RNN(cell, D, H, backend="eager", dtype=torch.float64)
    s0 = tuple((normal(1, B, H, seed=part).abs() + 1).requires_grad_() for part in range(len(cell.state)))
    output, _ = rnn(normal(T, B, D), s0)
    reached = torch.autograd.grad(output[-1, :, 0].sum(), s0[0], allow_unused=True)[0]
    assert reached is not None
    each = H // cell.head_count
    assert not reached[..., each:].any()


def test_slstm_with_heads_equals_its_transcription() -> None:
    rnn = Variant("slstm", {}).rnn(D, H)
    headed = RNN("slstm", D, H, heads=HEADS, backend="eager", dtype=torch.float64)
    with torch.no_grad():
        for name, value in headed.layers["0"].named_parameters():
            value.copy_(normal(*value.shape, seed=len(name)))
        for name, value in headed.stack()[0].weights().named().items():
            rnn.layers["0"].get_parameter(name).copy_(value[0])
    x = normal(T, 1, D)
    zero = [torch.zeros(H, dtype=torch.float64).numpy()] * 4
    expected = [state["h"] for state, _ in ORACLES["slstm"](Network(rnn), x[:, 0].numpy(), *zero, {})]
    output, _ = headed(x)
    for own, other in zip(output[:, 0], expected, strict=True):
        torch.testing.assert_close(own.detach(), torch.as_tensor(other), rtol=FLOAT64, atol=FLOAT64)


def test_the_start_of_a_head_is_repeated() -> None:
    b = RNN("slstm", D, 8, heads=2).layers["0"].get_parameter("b").detach()[8:16]
    assert torch.equal(b[:4], b[4:])
    assert b[:4].tolist() == pytest.approx([5 - 12 * (unit / 3) ** 0.3 for unit in range(4)])


def test_costs() -> None:
    for heads, squares in ((1, "4H^2"), (4, "H^2"), (3, "4H^2/3")):
        cell = CELLS.build("slstm", heads=heads)
        assert parameter_formula(cell) == f"4HD + {squares} + 4H"
        assert parameter_count(cell, 5, 12) == 4 * 12 * 5 + 4 * 12 * 12 // heads + 4 * 12
    one, four = (flops_per_step(CELLS.build("slstm", heads=heads), 5, 12) for heads in (1, 4))
    assert one - four == 8 * 12 * 12 * 3 // 4


def test_units_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(UserError, match="The hidden size is 10, but it must be a multiple of the 4 heads of the cell"):
        RNN("slstm", D, 10, heads=4)


def test_a_constraint_needs_a_whole_matrix() -> None:
    body = {"constraint": {"R": Antisymmetric()}, "feedback": ("h",), "__module__": __name__, "__doc__": "Both."}
    cell = dataclass(frozen=True)(type("Both", (Headed,), body))()
    with pytest.raises(UserError, match="only a block that reads one part can be square, in a cell without heads"):
        cell.check("both")
