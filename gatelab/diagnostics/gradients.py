"""How gradients are distributed over parameters and gates, as pure functions of tensors."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor


def norms(gradients: Mapping[str, Tensor]) -> tuple[float, dict[str, float]]:
    """The global 2-norm and the 2-norm of every entry."""
    if not gradients:
        return 0.0, {}
    single = torch.stack([gradient.float().norm() for gradient in gradients.values()])
    return single.norm().item(), dict(zip(gradients, single.tolist(), strict=True))


def block_norms(gradient: Tensor, blocks: Iterable[str]) -> dict[str, float]:
    """The 2-norm of each gate's block of rows.

    Args:
        gradient: (G*H, ...), a block of H rows for each gate.
        blocks: their names in that order.
    """
    names = list(blocks)
    parts = gradient.float().reshape(len(names), -1).norm(dim=1)
    return dict(zip(names, parts.tolist(), strict=True))


def clip_rate(norms: Tensor, limit: float) -> float:
    """Share of the steps whose global gradient norm is above the limit (Pascanu, Mikolov & Bengio 2013, Sec. 3.2).

    Args:
        norms: before clipping, one a step (steps,).
        limit: the norm that gradients are clipped at.
    """
    return (norms > limit).float().mean().item()
