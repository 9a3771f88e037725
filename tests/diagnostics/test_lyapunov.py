"""Lyapunov exponents and Jacobians of systems for which they are known."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from cells.variants import VARIANTS, Variant, normal
from diagnostics.test_flow import Linear
from tolerances import FLOAT64

from gatelab.diagnostics import lyapunov
from gatelab.models import RNN


def test_exponents_of_a_constant_matrix() -> None:
    """ln of the absolute eigenvalues: 2, then a rotation by 1/2, twice. The start is forgotten like (1/4)^T."""
    angle = torch.tensor(0.7, dtype=torch.float64)
    J = torch.zeros(3, 3, dtype=torch.float64)
    J[0, 0], J[0, 1:] = 2, torch.tensor([1.0, -3.0])
    J[1:, 1:] = 0.5 * torch.stack([torch.stack([angle.cos(), -angle.sin()]), torch.stack([angle.sin(), angle.cos()])])
    steps = [lambda tangents: tangents @ J.mT] * 4000
    found = lyapunov.exponents(steps, normal(3, 3))
    assert found.tolist() == pytest.approx([math.log(2), math.log(0.5), math.log(0.5)], abs=1e-3)  # a transient of some nats / T
    assert lyapunov.exponents(steps, normal(1, 3)).item() == pytest.approx(math.log(2), abs=1e-3)


def test_exponents_of_the_henon_map() -> None:
    """(x, y) to (1 - 1.4 x^2 + y, 0.3 x): the exponents add up to ln 0.3; the larger is 0.419 (Wolf et al. 1985: 0.418)."""
    x, y, steps = 0.1, 0.1, []
    for number in range(5000):
        if number >= 100:
            J = torch.tensor([[-2.8 * x, 1.0], [0.3, 0.0]], dtype=torch.float64)
            steps.append(lambda tangents, J=J: tangents @ J.mT)
        x, y = 1 - 1.4 * x * x + y, 0.3 * x
    found = lyapunov.exponents(steps, torch.eye(2, dtype=torch.float64))
    assert found.sum().item() == pytest.approx(math.log(0.3), abs=FLOAT64)
    assert found[0].item() == pytest.approx(0.419, abs=0.01)


def test_a_spectrum_says_how_far_its_starts_agree() -> None:
    """Exponents ln 2, ln 1/2 and two that are close: directions settle at the rate of the gap to the next one."""
    J = torch.diag(torch.tensor([2.0, 0.5, 0.101, 0.1], dtype=torch.float64))
    J[0, 1:] = 1
    starts = normal(2, 3, 4, 4)
    found = lyapunov.spectrum([lambda tangents: tangents @ J.mT] * 60, starts, 30)
    assert found.exponents[:2].tolist() == pytest.approx([math.log(2), math.log(0.5)], abs=1e-6)
    assert found.over_starts[0] < 1e-6
    assert found.over_sequences[0] < 1e-6
    assert found.transient == 30
    assert found.agreed >= 2
    early = lyapunov.spectrum([lambda tangents: tangents @ J.mT] * 4, starts, 0)
    assert early.agreed == 0
    assert early.over_starts[0] > 0.02
    assert lyapunov.spectrum([lambda tangents: tangents @ J.mT] * 4, starts[:, :1], 0).over_sequences.isnan().all()


def recorded(rnn: RNN, x: torch.Tensor) -> tuple[Any, Any, Any]:
    rnn.recording = True
    rnn(x)
    record, _ = rnn.recorded["0"]
    return rnn.cell, rnn.layers["0"].weights(), record  # type: ignore[operator]


def test_a_linear_layer() -> None:
    rnn = RNN(Linear(), 2, 4, bias=False, backend="eager", dtype=torch.float64)
    R = rnn.layers["0"].R.detach()  # type: ignore[union-attr]
    given = recorded(rnn, normal(300, 3, 2))
    found = lyapunov.singular_values(lyapunov.jacobian(*given, torch.tensor([0, 7])), 4, normal(2, 3, 1))
    torch.testing.assert_close(found, torch.linalg.svdvals(R).expand(2, 3, 4), rtol=FLOAT64, atol=FLOAT64)
    largest = lyapunov.exponents((lyapunov.jacobian(*given, t) for t in range(300)), normal(3, 2, 4))[:, 0]
    radius = np.abs(np.linalg.eigvals(R.numpy())).max()
    assert largest.tolist() == pytest.approx([math.log(radius)] * 3, abs=0.02)  # a transient of some nats in 300 steps


@pytest.mark.parametrize("variant", [variant for variant in VARIANTS if variant.cell().memory is None], ids=str)
def test_the_jacobian_of_a_step(variant: Variant) -> None:
    """Against autograd through one step of the RNN itself, at two times and for every row."""
    rnn = variant.rnn(2, 3)
    x, parts = normal(6, 2, 2), len(rnn.cell.state)
    cell, weights, record = recorded(rnn, x)
    eye = torch.eye(3 * parts, dtype=torch.float64)
    for t in (0, 4):
        found = lyapunov.jacobian(cell, weights, record, t)(eye.expand(2, -1, -1)).mT
        state = rnn(x[:t])[1] if t else (torch.zeros(1, 2, 3, dtype=torch.float64),) * parts
        for row in range(2):

            def step(flat: torch.Tensor, row: int = row, t: int = t) -> torch.Tensor:
                given = tuple(part[None, None] for part in flat.chunk(parts))
                return torch.cat([part.flatten() for part in rnn(x[t : t + 1, row : row + 1], given)[1]])

            expected = torch.autograd.functional.jacobian(step, torch.cat([part[0, row] for part in state]).detach())
            torch.testing.assert_close(found[row], expected, rtol=FLOAT64, atol=FLOAT64)
