"""Steps at which the state starts again: in the form of the scan, and in the order of the reverse direction."""

import torch
from torch import Tensor


def live_resets(resets: Tensor, lengths: Tensor | None, device: torch.device) -> Tensor:
    """Resets by step, without those after the end of a row.

    Args:
        resets: where a row starts again (B, T).
        lengths: valid steps of each row (B,), or None.
        device: the device of the result.

    Returns:
        (T, B), contiguous, and a copy, because the caller may overwrite the original before the backward pass.
    """
    resets = resets.to(device)
    if lengths is not None:
        resets = resets & (torch.arange(resets.shape[1], device=device) < lengths.to(device)[:, None])
    return resets.mT.clone(memory_format=torch.contiguous_format)


def reversed_resets(resets: Tensor, lengths: Tensor | None) -> Tensor:
    """Resets in the scan order of the reverse direction.

    A reset at step t is a boundary between the steps t - 1 and t. The reverse direction comes to step t - 1 from step t, so that
    its state starts again at t - 1. A boundary before step 0 has no step behind it in that direction, which starts at the last
    valid step from the initial state in any case.

    Args:
        resets: where a row starts again (B, T), in the time order of the input.
        lengths: valid steps of each row (B,), or None.

    Returns:
        (B, T): entry k of a row stands for its step `length - 1 - k`.
    """
    B, T = resets.shape
    ends = torch.full((B,), T, device=resets.device) if lengths is None else lengths.to(resets.device)
    behind = ends[:, None] - torch.arange(T, device=resets.device)  # the step from which entry k comes
    inside = (behind > 0) & (behind < ends[:, None])
    return resets.gather(1, behind.clamp(0, T - 1)) & inside
