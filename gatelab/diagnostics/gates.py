"""Gate statistics: statistics of activations, as pure functions of tensors."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

BINS = 32
OF_ANY_RANGE = ("mean", "std")  # the other statistics assume activations within [0, 1]
LEFT, RIGHT = 0.1, 0.9  # Karpathy, Johnson & Fei-Fei 2015 (arXiv 1506.02078), Sec. 4.2


def alive(length: int, lengths: Tensor) -> Tensor:
    """Which steps of which rows are valid, (T, B), from the valid steps of each row (B,)."""
    return torch.arange(length, device=lengths.device)[:, None] < lengths


def valid(values: Tensor, lengths: Tensor | None) -> Tensor:
    """The activations of valid steps only, (steps, H).

    Args:
        values: (T, B, H).
        lengths: valid steps of each row (B,), or None if all are.
    """
    if lengths is None:
        return values.reshape(-1, values.shape[-1])
    return values[alive(len(values), lengths)]


def units(values: Tensor, left: float = LEFT, right: float = RIGHT) -> dict[str, Tensor]:
    """Mean and saturation of every unit, (H,) each.

    `saturated_left` is the fraction of steps with an activation below `left`, `saturated_right` that above `right`.

    Args:
        values: activations in [0, 1], (steps, H).
    """
    values = values.float()
    # Comparisons that write floats take a third of the time of counting booleans.
    room = torch.empty_like(values)
    below = torch.lt(values, left, out=room).mean(0)
    above = torch.gt(values, right, out=room).mean(0)
    return {"mean": values.mean(0), "saturated_left": below, "saturated_right": above}


def statistics(values: Tensor, by_unit: dict[str, Tensor], counts: Sequence[int]) -> dict[str, float]:
    """Mean, standard deviation, saturation and entropy of a gate over units, rows and steps.

    Args:
        values: activations in [0, 1], (steps, H).
        by_unit: the result of `units` for them.
        counts: the result of `histogram` for them; the entropy is that of this distribution, in nats: 0 if all activations are in
            one bin, ln(bins) if they are spread evenly.
    """
    values = values.float()
    mean = by_unit["mean"].mean()
    # A norm gives the result of std(), up to rounding, in half the time.
    std = (values - mean).norm() / math.sqrt(values.numel())
    numbers = torch.stack((mean, std, by_unit["saturated_left"].mean(), by_unit["saturated_right"].mean())).tolist()
    found = dict(zip(("mean", "std", "saturated_left", "saturated_right"), numbers, strict=True))
    return found | {"entropy": entropy(counts)}


def histogram(values: Tensor, bins: int = BINS) -> list[int]:
    """Counts of activations in equal bins over [0, 1]; 1 itself is in the last."""
    # A third of the time of torch.histc. NaN becomes a negative integer, and so part of the first count, which is dropped.
    places = (values.float().reshape(-1) * bins).int().clamp_(-1, bins - 1)
    return torch.bincount(places + 1, minlength=bins + 1)[1:].tolist()


def entropy(counts: Sequence[int]) -> float:
    """-sum p ln p of the distribution that has these counts, in nats; nan if all are 0."""
    total = sum(counts)
    return -sum(count / total * math.log(count / total) for count in counts if count) if total else math.nan


def profile(steps: Tensor, lengths: Tensor | None, at: Tensor, length: int, bins: int = 64) -> Tensor:
    """Mean over rows in equal bins of the position in the sequence, (P,) with P = min(length, bins).

    Bin p holds the steps t with floor(t P / length) = p; nan where no row has one.

    Args:
        steps: (S, B), one value a step and row, for example the mean of a gate over its units.
        lengths: valid steps of each row (B,), or None if all are.
        at: the positions of the S steps, integers in [0, length).
        length: T.
    """
    P = min(length, bins)
    places = at * P // length
    if lengths is None:
        sums, weights = steps.sum(1), torch.full((len(steps),), float(steps.shape[1]), device=steps.device, dtype=steps.dtype)
    else:
        kept = at[:, None] < lengths
        sums, weights = torch.where(kept, steps, 0).sum(1), kept.sum(1).to(steps.dtype)
    total, count = (torch.zeros(P, device=steps.device, dtype=steps.dtype).index_add_(0, places, v) for v in (sums, weights))
    return total / count


def at_events(steps: Tensor, events: Tensor, lengths: Tensor | None) -> dict[str, float]:
    """Mean at the task's events, `at_events`, and `elsewhere`; nan without such steps.

    Args:
        steps: (T, B), one value a step and row.
        events: (T, B), booleans.
        lengths: valid steps of each row (B,), or None if all are.
    """
    kept = alive(len(steps), lengths) if lengths is not None else torch.ones_like(events)
    means = [steps[kept & mask].mean().item() for mask in (events, ~events)]
    return dict(zip(("at_events", "elsewhere"), means, strict=True))
