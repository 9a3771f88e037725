"""Losses that several tasks share, one value per predicted entry: a task sums what is valid and divides by its number.

All compute in float32 or wider, whatever the model's output is: in bfloat16 a sum over 10^4 frames loses all its digits.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def _widened(output: Tensor) -> Tensor:
    return output.to(torch.promote_types(output.dtype, torch.float32))


def squared_error(output: Tensor, target: Tensor) -> Tensor:
    """(output - target)^2, in the shape of both."""
    output = _widened(output)
    return (output - target.to(output.dtype)).square()


def cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """-log softmax(output)[target] in nats, in the shape of `target` (...); output: logits (..., classes)."""
    output = _widened(output)
    return F.cross_entropy(output.flatten(0, -2), target.flatten(), reduction="none").view_as(target)


def bernoulli(output: Tensor, target: Tensor) -> Tensor:
    """-log p(target) in nats of independent binary entries, summed over the last dimension: (..., K) to (...).

    p = sigma(output), so that log p = target log sigma(output) + (1 - target) log sigma(-output).
    """
    output = _widened(output)
    return F.binary_cross_entropy_with_logits(output, target.to(output.dtype), reduction="none").sum(-1)
