"""Gate statistics against NumPy."""

import numpy as np
import pytest
import torch
from cells.variants import Variant, each_kind, normal
from tolerances import EXACT, SUM32

from gatelab.diagnostics import gates


def activations(*shape: int, scale: float = 3.0) -> torch.Tensor:
    return torch.sigmoid(scale * normal(*shape, dtype=torch.float32))


def statistics(values: torch.Tensor, **limits: float) -> dict[str, float]:
    return gates.statistics(values, gates.units(values, **limits), gates.histogram(values))


@pytest.mark.parametrize("shape", [(7, 1), (12, 5), (400, 16), (1, 1)], ids=str)
def test_statistics(shape: tuple[int, ...]) -> None:
    values = activations(*shape)
    exact = values.numpy().astype(np.float64)
    expected = {
        "mean": exact.mean(),
        "std": exact.std(),  # of the population: one activation has 0
        "saturated_left": (values.numpy() < np.float32(0.1)).mean(),
        "saturated_right": (values.numpy() > np.float32(0.9)).mean(),
    }
    found = statistics(values)
    assert list(found) == [*expected, "entropy"]
    assert found == pytest.approx(expected | {"entropy": found["entropy"]}, rel=SUM32, abs=SUM32)
    assert all(isinstance(value, float) for value in found.values())
    by_unit = gates.units(values)
    np.testing.assert_allclose(by_unit["mean"], exact.mean(0), rtol=SUM32)
    np.testing.assert_allclose(by_unit["saturated_left"], (values.numpy() < np.float32(0.1)).mean(0), rtol=SUM32)
    np.testing.assert_allclose(by_unit["saturated_right"], (values.numpy() > np.float32(0.9)).mean(0), rtol=SUM32)


def test_statistics_of_known_activations() -> None:
    values = torch.tensor([[0.0, 0.05], [0.5, 0.95]])
    expected = {"mean": 0.375, "std": 0.148125**0.5, "saturated_left": 0.5, "saturated_right": 0.25}
    # Bins 0, 1, 16 and 30: four different ones.
    assert statistics(values) == pytest.approx(expected | {"entropy": np.log(4)}, abs=SUM32)
    assert gates.units(values)["saturated_left"].tolist() == [0.5, 0.5]
    assert gates.units(values)["saturated_right"].tolist() == [0.0, 0.5]
    at_the_limits = statistics(torch.tensor([[0.1], [0.9]]))
    assert at_the_limits["saturated_left"] == at_the_limits["saturated_right"] == 0
    others = statistics(values, left=0.01, right=0.4)
    assert (others["saturated_left"], others["saturated_right"]) == (0.25, 0.5)


def test_a_constant_gate_has_no_spread() -> None:
    found = statistics(torch.full((40, 3), 0.25))
    assert found == {"mean": 0.25, "std": 0, "saturated_left": 0, "saturated_right": 0, "entropy": 0}


def test_entropy() -> None:
    assert gates.entropy([5] * 32) == pytest.approx(np.log(32))
    assert gates.entropy([0, 9, 0]) == 0
    assert gates.entropy([1, 3]) == pytest.approx(0.25 * np.log(4) + 0.75 * np.log(4 / 3))
    assert np.isnan(gates.entropy([0, 0]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_other_float_types(dtype: torch.dtype) -> None:
    values = activations(120, 5).to(dtype)
    assert statistics(values) == statistics(values.float())
    assert gates.histogram(values) == gates.histogram(values.float())


@pytest.mark.parametrize("bins", [1, 10, gates.BINS])
def test_histogram(bins: int) -> None:
    values = activations(50, 8, 16)
    expected, _ = np.histogram(values.numpy(), bins=bins, range=(0.0, 1.0))
    found = gates.histogram(values, bins)
    assert found == expected.tolist()
    assert sum(found) == values.numel()
    assert all(isinstance(count, int) for count in found)


def test_histogram_edges() -> None:
    """A bin has its left edge, the last one both: an open gate is counted."""
    assert gates.histogram(torch.arange(gates.BINS + 1) / gates.BINS) == [1] * (gates.BINS - 1) + [2]
    assert gates.histogram(torch.zeros(3)) == [3] + [0] * (gates.BINS - 1)
    assert gates.histogram(torch.ones(3)) == [0] * (gates.BINS - 1) + [3]


@pytest.mark.parametrize("lengths", [None, [4, 1, 6], [6, 6, 6], [1, 1, 1]], ids=str)
def test_valid(lengths: list[int] | None) -> None:
    values = activations(6, 3, 5)
    ends = lengths or [6, 6, 6]
    expected = np.concatenate([values.numpy()[:end, row] for row, end in enumerate(ends)])
    found = gates.valid(values, None if lengths is None else torch.tensor(lengths))
    assert found.shape == (sum(ends), 5)
    np.testing.assert_array_equal(np.sort(found.numpy(), 0), np.sort(expected, 0))


def test_valid_drops_what_is_behind_the_end() -> None:
    values = activations(6, 2, 3)
    values[4:, 0] = values[1:, 1] = torch.nan
    found = gates.valid(values, torch.tensor([4, 1]))
    assert found.numel() == (4 + 1) * 3
    assert found.isfinite().all()


def test_profile() -> None:
    """Two bins over five steps: 0, 1, 2 and 3, 4; finished rows are left out, and a bin that no row reaches is nan."""
    steps, at = torch.arange(10.0).view(5, 2), torch.arange(5)
    assert gates.profile(steps, None, at, 5, bins=2).tolist() == [2.5, 7.5]
    assert gates.profile(steps, None, at, 5).tolist() == [0.5, 2.5, 4.5, 6.5, 8.5]
    assert gates.profile(steps, torch.tensor([5, 1]), at, 5, bins=2).tolist() == [(0 + 1 + 2 + 4) / 4, 7]
    assert gates.profile(steps, torch.tensor([3, 1]), at, 5, bins=2).isnan().tolist() == [False, True]
    # Every second step of nine.
    assert gates.profile(steps, None, torch.arange(0, 9, 2), 9, bins=3).tolist() == [1.5, 4.5, 7.5]


def test_at_events() -> None:
    steps = torch.tensor([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    events = torch.tensor([[True, False], [False, True], [False, True]])
    assert gates.at_events(steps, events, None) == pytest.approx({"at_events": 8 / 3, "elsewhere": 7 / 3})
    assert gates.at_events(steps, events, torch.tensor([3, 2])) == pytest.approx({"at_events": 1.5, "elsewhere": 7 / 3})
    assert np.isnan(gates.at_events(steps, torch.zeros_like(events), None)["at_events"])


@each_kind
def test_recorded_gates_give_the_statistics_of_the_trace(variant: Variant) -> None:
    """The path of the training callback: record, replay, drop padding, count."""
    rnn = variant.rnn(2, 3, num_layers=2, bidirectional=True)
    x, lengths = normal(5, 3, 2), torch.tensor([5, 1, 3])
    rnn.recording = True
    rnn(x, lengths=lengths)
    _, _, traces = rnn.trace(x, lengths=lengths)
    for layer, named, recorded_lengths in rnn.replayed():
        for word, values in named.gates.items():
            traced = gates.valid(traces[layer].gates[word].detach(), lengths)
            found = gates.valid(values, recorded_lengths)
            torch.testing.assert_close(found.sort(0).values, traced.sort(0).values, rtol=EXACT, atol=EXACT)
            assert sum(gates.histogram(found)) == int(lengths.sum()) * 3
