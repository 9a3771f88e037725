"""Optimisers and learning-rate schedules from their configuration, and clipping.

Around a small step the calls of torch cost more than what they compute: behind the passes of a model the processor has neither
their code nor their data in its caches. What is here makes fewer of them, with the same bits (tests compare them with torch's own).
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gatelab.config import SGD, AdamW, RMSprop, Schedule

_of_torch: Any = torch  # for calls of its own optimisers and of its clipping, which it exports nowhere
COMPARED = ("2.13.",)  # versions of torch whose AdamW makes the calls that `LeanAdamW` makes


class LeanAdamW(torch.optim.AdamW):
    """torch's fused AdamW without what it checks and sorts before each step."""

    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        gradients = [[value.grad for value in group["params"]] for group in self.param_groups]
        if closure is not None or not self._is_simple(gradients):
            return super().step(closure)
        with torch.no_grad():
            for group, given in zip(self.param_groups, gradients, strict=True):
                states = [self.state[value] for value in group["params"]]
                steps, means, squares = ([state[name] for state in states] for name in ("step", "exp_avg", "exp_avg_sq"))
                _of_torch._foreach_add_(steps, 1)
                _of_torch._fused_adamw_(
                    group["params"],
                    given,
                    means,
                    squares,
                    [],
                    steps,
                    lr=group["lr"],
                    beta1=group["betas"][0],
                    beta2=group["betas"][1],
                    weight_decay=group["weight_decay"],
                    eps=group["eps"],
                    amsgrad=False,
                    maximize=False,
                )
        return None

    def _is_simple(self, gradients: Sequence[Sequence[Tensor | None]]) -> bool:
        """Whether every parameter has a gradient, a state and nothing that only torch's own step knows."""
        return (
            torch.__version__.startswith(COMPARED)
            and len(self.state) == sum(map(len, gradients))
            and all(gradient is not None and gradient.is_cpu for of_group in gradients for gradient in of_group)
        )


def build_optimizer(
    config: AdamW | SGD | RMSprop, parameters: Iterable[nn.Parameter], precision: str = "f32"
) -> torch.optim.Optimizer:
    """The torch optimiser that a configuration describes; one call for all parameters where torch has that.

    Args:
        config: the optimiser and its settings.
        parameters: the parameters to update.
        precision: the precision of the run. In mixed precision Lightning does not clip gradients of a fused optimiser.
    """
    fused = precision in ("f32", "f64")
    shared: dict[str, Any] = {"lr": config.lr, "weight_decay": config.weight_decay}
    match config:
        case AdamW():
            kind = LeanAdamW if fused else torch.optim.AdamW
            return kind(parameters, betas=(config.beta1, config.beta2), fused=fused, **shared)
        case SGD():
            return torch.optim.SGD(parameters, momentum=config.momentum, nesterov=config.nesterov, fused=fused, **shared)
        case RMSprop():
            return torch.optim.RMSprop(parameters, alpha=config.alpha, momentum=config.momentum, **shared)


def clip_gradients(parameters: Iterable[nn.Parameter], limit: float | None) -> Tensor:
    """Scales the gradients so that their global 2-norm is at most `limit`, as torch.nn.utils.clip_grad_norm_ does.

    Args:
        parameters: whose, all on one device.
        limit: None: only the norm is computed.

    Returns:
        The norm before, a scalar.
    """
    with torch.no_grad():
        gradients = [value.grad for value in parameters if value.grad is not None]
        if not gradients:
            return torch.tensor(0.0)
        norm = torch.linalg.vector_norm(torch.stack(_of_torch._foreach_norm(gradients)))
        if limit is None:
            return norm
        factor = limit / (norm + 1e-6)
        if not factor.is_cpu:  # to look at it would wait for the device
            _of_torch._foreach_mul_(gradients, factor.clamp(max=1.0))
        elif not factor >= 1.0:  # nor if it is NaN
            _of_torch._foreach_mul_(gradients, factor)
        return norm


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
