"""Sums and quotients of exponentials, where exp overflows or vanishes; tests/kernels tries all cells with large inputs."""

import pytest
import torch

from gatelab.models import RNN


@pytest.mark.parametrize("size", [50.0, 1000.0])
def test_slstm_and_rwkv4_agree_with_their_equations_where_exp_overflows(size: float) -> None:
    """Only differences of exponents matter: adding a constant to all input gates, or keys, changes nothing but the stabiliser."""
    x = torch.randn(30, 2, 3, dtype=torch.float64)
    for name, gate in (("slstm", "i"), ("rwkv4", "k")):
        torch.manual_seed(0)
        rnn = RNN(name, 3, 5, dtype=torch.float64, backend="eager")
        with torch.no_grad():
            before, _ = rnn(x)
            row = list(rnn.cell.gates).index(gate)
            for shift in (size, -2 * size):
                rnn.layers["0"].get_parameter("b")[5 * row : 5 * row + 5] += shift
                torch.testing.assert_close(rnn(x)[0], before, rtol=1e-9, atol=1e-9)


def test_minlstm_keeps_its_share_where_both_gates_vanish() -> None:
    """f / (f + i) = sigmoid(a_f - a_i) as both go to 0; the quotient itself would be 0/0."""
    rnn = RNN("minlstm", 1, 2, backend="eager")
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.zero_()
        rnn.layers["0"].get_parameter("b")[:4] = torch.tensor([-200.0, -201.0, -201.0, -200.0])
    _, _, traces = rnn.trace(torch.zeros(1, 1, 1))
    torch.testing.assert_close(traces["0"].gates["effective"][0, 0], torch.tensor([1.0, -1.0]).sigmoid())
