"""Large inputs and long sequences in float32: states that are averages stay finite, and so do gradients."""

import pytest
import torch

from gatelab.models import RNN

# Of these, every state is bounded by the inputs, or by the logarithm of their weights.
AVERAGES = ("hgrn", "mingru", "minlstm", "paragru", "paralstm", "rwkv4", "slstm", "ur_lstm")


@pytest.mark.parametrize("backend", ["eager", "cpu"])
@pytest.mark.parametrize("name", [*AVERAGES, "cornn", "rg_lru"])
def test_large_inputs_give_finite_values_and_gradients(name: str, backend: str) -> None:
    """|x| is 1e4, with both signs and with steps between; pre-activations reach 1e4, where exp overflows and sigmoid is 0 or 1."""
    torch.manual_seed(0)
    rnn = RNN(name, 3, 16, backend=backend)
    x = 1e4 * torch.randint(-1, 2, (40, 4, 3)).float()
    x.requires_grad_()
    output, state = rnn(x)
    (output.mean() + sum(part.mean() for part in state)).backward()
    assert all(part.isfinite().all() for part in (output, *state))
    assert all(value is not None and value.isfinite().all() for value in (x.grad, *(part.grad for part in rnn.parameters())))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cornn", "hgrn", "minlstm", "rg_lru", "rwkv4", "slstm", "unicornn"])
def test_long_sequences_stay_finite(name: str) -> None:
    """100,000 steps, of the cells that keep sums, logarithms or energy."""
    torch.manual_seed(0)
    rnn = RNN(name, 1, 8, backend="cpu")
    with torch.no_grad():
        output, state = rnn(torch.randn(100_000, 1, 1))
    assert all(part.isfinite().all() for part in (output, *state))
    assert float(output.abs().max()) < 100


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
