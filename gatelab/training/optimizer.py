"""Optimisers and learning-rate schedules from their configuration."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from gatelab.config import SGD, AdamW, RMSprop, Schedule


def build_optimizer(
    config: AdamW | SGD | RMSprop, parameters: Iterable[nn.Parameter], precision: str = "f32"
) -> torch.optim.Optimizer:
    """The torch optimiser that a configuration describes; one call for all parameters where torch has that.

    Args:
        config: which, and its settings.
        parameters: what it updates.
        precision: of the run. In mixed precision Lightning clips no gradients of a fused optimiser.
    """
    fused = precision in ("f32", "f64")
    shared: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay}
    match config:
        case AdamW():
            return torch.optim.AdamW(parameters, betas=(config.beta1, config.beta2), fused=fused, **shared)
        case SGD():
            return torch.optim.SGD(parameters, momentum=config.momentum, nesterov=config.nesterov, fused=fused, **shared)
        case RMSprop():
            return torch.optim.RMSprop(parameters, alpha=config.alpha, momentum=config.momentum, **shared)


def rate_factor(schedule: Schedule, max_steps: int) -> Callable[[int], float]:
    """The factor on the learning rate as a function of the optimiser step.

    With u the fraction of the way from the end of the warm-up to `max_steps`, and e = `final`:

    ```
    constant     1                       linear       1 - u (1 - e)
    cosine       e + (1 - e) (1 + cos(pi u)) / 2      exponential  e^u
    ```
    """

    def factor(step: int) -> float:
        if step < schedule.warmup_steps:
            return (step + 1) / schedule.warmup_steps
        u = min(1.0, (step - schedule.warmup_steps) / max(1, max_steps - schedule.warmup_steps))
        match schedule.name:
            case "linear":
                return 1 - u * (1 - schedule.final)
            case "cosine":
                return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * u)) / 2
            case "exponential":
                return schedule.final**u
            case _:
                return 1.0

    return factor
