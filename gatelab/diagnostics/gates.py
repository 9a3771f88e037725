"""What gates do: statistics of activations, as pure functions of tensors."""

import math

import torch
from torch import Tensor

BINS = 32


def valid(values: Tensor, lengths: Tensor | None) -> Tensor:
    """The activations of valid steps only, flat.

    Args:
        values: (T, B, H).
        lengths: valid steps of each row (B,), or None if all are.
    """
    if lengths is None:
        return values.reshape(-1)
    return values[torch.arange(values.shape[0], device=values.device)[:, None] < lengths].reshape(-1)


def statistics(values: Tensor) -> dict[str, float]:
    """Mean, standard deviation and saturation of the activations of a gate.

    `saturated_left` is the fraction below 0.1, `saturated_right` the fraction above 0.9 (Karpathy, Johnson & Fei-Fei 2015,
    arXiv 1506.02078, Sec. 4.2), here over units, rows and steps together.

    Args:
        values: activations in [0, 1], any shape.
    """
    # A norm and counts: what std() and means of masks give, to rounding, in 0.6 of their time.
    values = values.float().reshape(-1)
    mean, count = values.mean(), values.numel()
    saturated = [torch.count_nonzero(values < 0.1) / count, torch.count_nonzero(values > 0.9) / count]
    numbers = torch.stack((mean, (values - mean).norm() / math.sqrt(count), *saturated)).tolist()
    return dict(zip(("mean", "std", "saturated_left", "saturated_right"), numbers, strict=True))


def histogram(values: Tensor, bins: int = BINS) -> list[int]:
    """Counts of activations in equal bins over [0, 1]; 1 itself is in the last."""
    # In a third of the time of torch.histc. What is no number becomes a negative integer, and the first count, which is dropped.
    places = (values.float().reshape(-1) * bins).int().clamp_(-1, bins - 1)
    return torch.bincount(places + 1, minlength=bins + 1)[1:].tolist()
