"""Matrices that keep a property while they are learnt."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from cells.variants import Variant, normal
from tolerances import FLOAT64
from torch import Tensor, tanh

from gatelab.cells import Antisymmetric, Cell, Constraint, Orthogonal, SkewMix
from gatelab.errors import UserError
from gatelab.models import RNN

D, H = 3, 6


def used(rnn: RNN) -> Tensor:
    """The matrix of the recurrent product."""
    R = rnn.layers["0"].weights().R  # type: ignore[operator]
    return R[0].detach()


def trained(name: str) -> RNN:
    """A network after three steps of an optimiser that moves it far."""
    torch.manual_seed(0)
    rnn = RNN(name, D, H, dtype=torch.float64)
    optimizer = torch.optim.Adam(rnn.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (rnn(normal(7, 4, D))[0] - 1).square().sum().backward()
        optimizer.step()
    return rnn


def test_orthogonal_after_training() -> None:
    rnn = trained("exprnn")
    U = used(rnn)
    torch.testing.assert_close(U @ U.mT, torch.eye(H, dtype=torch.float64), rtol=FLOAT64, atol=FLOAT64)
    assert float(torch.linalg.det(U)) == pytest.approx(1)
    assert not torch.allclose(U, used(RNN("exprnn", D, H, dtype=torch.float64)), atol=0.01)  # it was learnt


@pytest.mark.parametrize("name", ["antisymmetric", "gated_antisymmetric"])
def test_antisymmetric_after_training(name: str) -> None:
    A = used(trained(name))
    gamma = Variant(name, {}).cell().gamma  # type: ignore[attr-defined]
    real = torch.linalg.eigvals(A).real
    torch.testing.assert_close(real, torch.full_like(real, -gamma), rtol=0, atol=1e-10)


def test_rotations_turn_pairs_of_units() -> None:
    """The start of exprnn: blocks of two units, turned by angles that are uniform in [-pi, pi]."""
    torch.manual_seed(0)
    U = used(RNN("exprnn", D, 400, dtype=torch.float64))
    blocks = torch.zeros_like(U)
    for k in range(0, 400, 2):
        blocks[k : k + 2, k : k + 2] = U[k : k + 2, k : k + 2]
    torch.testing.assert_close(U, blocks, rtol=0, atol=FLOAT64)
    angles = torch.atan2(U.diagonal(1)[::2], U.diagonal()[::2])
    share = (angles.abs() < torch.pi / 2).double().mean()
    assert abs(float(share) - 0.5) < 4 * 0.5 / 200**0.5


def test_a_slow_group_reads_no_faster_one() -> None:
    rnn = trained("clockwork")
    R, M, group = used(rnn), rnn.layers["0"].get_parameter("R").detach(), [0, 0, 1, 2, 2, 3]  # four groups of six units
    for i in range(H):
        for j in range(H):
            assert R[i, j] == (M[i, j] if group[j] >= group[i] else 0), (i, j)
    assert rnn.layers["0"].get_buffer("period").tolist() == [1, 1, 2, 4, 4, 8]
    assert "period" not in rnn.layers["0"].state_dict()


@dataclass(frozen=True)
class Two(Cell):
    """One block with a constraint and one without."""

    gates = {"y": "one", "z": "other"}
    constraint = {"R.z": SkewMix(0.5, 0.25)}

    def step(self, a: Any, s: Any, p: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        return {"h": tanh(a.y) * a.z}, {}


def test_one_block_of_a_matrix() -> None:
    rnn = RNN(Two(), D, H, dtype=torch.float64)
    M = rnn.layers["0"].R.detach()  # type: ignore[union-attr]
    torch.testing.assert_close(used(rnn)[:H], M[:H], rtol=0, atol=0)
    torch.testing.assert_close(used(rnn)[H:], M[H:] - 0.25 * torch.eye(H, dtype=torch.float64))


@pytest.mark.parametrize("constraint", [Antisymmetric(0.1), SkewMix(0.7, 0.1), Orthogonal()], ids=str)
def test_derivatives(constraint: Constraint) -> None:
    M = normal(4, 4).requires_grad_()
    assert torch.autograd.gradcheck(constraint.apply, (M,))


def test_the_parameter_is_what_is_saved() -> None:
    rnn, other = trained("exprnn"), RNN("exprnn", D, H, dtype=torch.float64)
    assert "layers.0.R" in rnn.state_dict()
    other.load_state_dict(rnn.state_dict())
    torch.testing.assert_close(used(other), used(rnn), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"constraint": 3}, "`constraint` is 3, but it must be a dict from matrices to constraints"),
        ({"constraint": {"R": "skew"}}, "`constraint` gives 'R' 'skew', but it must be a constraint, as in constraint = {"),
        ({"constraint": {"W": Antisymmetric()}}, "`constraint` names the matrix 'W', but the cell has R, R.z"),
        ({"constraint": {"R": Antisymmetric()}, "sources": {"z": "input"}}, "but the cell has no recurrent product"),
        (
            {"constraint": {"R": Orthogonal()}, "state": ("h", "c"), "feedback": ("h", "c")},
            "only a block that reads one part can",
        ),
    ],
)
def test_mistakes(declared: dict[str, Any], message: str) -> None:
    def step(self: Any, a: Any, s: Any, p: Any) -> Any:
        return {name: tanh(a.z) + getattr(s, name) for name in self.state}, {}

    cls = dataclass(frozen=True)(type("Mine", (Cell,), {"gates": {"z": "value"}, "step": step, **declared}))
    with pytest.raises(UserError, match="Cell 'mine'") as caught:
        cls().check("mine")
    assert message in str(caught.value)
