"""Gate statistics against NumPy."""

import numpy as np
import pytest
import torch
from cells.variants import Variant, each_variant, normal
from tolerances import EXACT, SUM32

from gatelab.diagnostics import gates


def activations(*shape: int, scale: float = 3.0) -> torch.Tensor:
    return torch.sigmoid(scale * normal(*shape, dtype=torch.float32))


@pytest.mark.parametrize("shape", [(7,), (4, 3, 5), (50, 8, 16), (1, 1, 1)], ids=str)
def test_statistics(shape: tuple[int, ...]) -> None:
    values = activations(*shape)
    exact = values.numpy().astype(np.float64)
    expected = {
        "mean": exact.mean(),
        "std": exact.std(),  # of the population: one activation has 0
        "saturated_left": (values.numpy() < np.float32(0.1)).mean(),
        "saturated_right": (values.numpy() > np.float32(0.9)).mean(),
    }
    found = gates.statistics(values)
    assert list(found) == list(expected)
    assert found == pytest.approx(expected, rel=SUM32, abs=SUM32)
    assert all(isinstance(value, float) for value in found.values())


def test_statistics_of_known_activations() -> None:
    found = gates.statistics(torch.tensor([[0.0, 0.05], [0.5, 0.95]]))
    assert found == pytest.approx({"mean": 0.375, "std": 0.148125**0.5, "saturated_left": 0.5, "saturated_right": 0.25}, abs=SUM32)
    at_the_limits = gates.statistics(torch.tensor([0.1, 0.9]))
    assert at_the_limits["saturated_left"] == at_the_limits["saturated_right"] == 0


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_other_float_types(dtype: torch.dtype) -> None:
    values = activations(40, 3, 5).to(dtype)
    assert gates.statistics(values) == gates.statistics(values.float())
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
    expected = np.concatenate([values.numpy()[:end, row].ravel() for row, end in enumerate(ends)])
    found = gates.valid(values, None if lengths is None else torch.tensor(lengths))
    assert found.ndim == 1
    np.testing.assert_array_equal(np.sort(found.numpy()), np.sort(expected))


def test_valid_drops_what_is_behind_the_end() -> None:
    values = activations(6, 2, 3)
    values[4:, 0] = values[1:, 1] = torch.nan
    found = gates.valid(values, torch.tensor([4, 1]))
    assert found.numel() == (4 + 1) * 3
    assert found.isfinite().all()


@each_variant
def test_recorded_gates_give_the_statistics_of_the_trace(variant: Variant) -> None:
    """The path of the training callback: record, replay, drop padding, count."""
    rnn = variant.rnn(2, 3, num_layers=2, bidirectional=True)
    x, lengths = normal(5, 3, 2), torch.tensor([5, 1, 3])
    rnn.recording = True
    rnn(x, lengths=lengths)
    _, _, traces = rnn.trace(x, lengths=lengths)
    for layer, named, recorded_lengths in rnn.replayed():
        for word, values in named.items():
            traced = gates.valid(traces[layer].gates[word].detach(), lengths)
            found = gates.valid(values, recorded_lengths)
            torch.testing.assert_close(found.sort().values, traced.sort().values, rtol=EXACT, atol=EXACT)
            assert sum(gates.histogram(found)) == int(lengths.sum()) * 3
