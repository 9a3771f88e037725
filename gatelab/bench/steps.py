"""Training steps to be timed: forward, then backward with all weight gradients. Input and output gradient are given.

Each function imports what it needs: the process of one framework loads no other.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn


def build(step: Mapping[str, Any]) -> Callable[[], None]:
    """The step that a column of a case describes, ready to be called again and again.

    Raises:
        UserError: the backend cannot serve this cell, dtype or machine; perhaps not before the first call.
    """
    return {"gatelab": _own, "torch": _torch, "flax": _flax}[step["kind"]](step)


def _own(step: Mapping[str, Any]) -> Callable[[], None]:
    import torch

    from gatelab.cells import CELLS
    from gatelab.models import RNN

    _, _, D, H = step["shape"]
    cell = CELLS.build(step["cell"], **step["options"])
    rnn = RNN(cell, D, H, backend=step["backend"], dtype=getattr(torch, step["dtype"]))
    return _forward_and_backward(rnn, step)


def _torch(step: Mapping[str, Any]) -> Callable[[], None]:
    import torch

    _, _, D, H = step["shape"]
    module = getattr(torch.nn, step["module"])(D, H, dtype=getattr(torch, step["dtype"]))
    once = _forward_and_backward(module, step)

    def call() -> None:
        with torch.backends.mkldnn.flags(enabled=step["onednn"]):
            once()

    return call


def _forward_and_backward(module: "nn.Module", step: Mapping[str, Any]) -> Callable[[], None]:
    import torch

    B, T, D, H = step["shape"]
    dtype = getattr(torch, step["dtype"])
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(T, B, D, dtype=dtype, generator=generator)
    gradient = torch.randn(T, B, H, dtype=dtype, generator=generator)
    parameters = list(module.parameters())

    def call() -> None:
        for parameter in parameters:
            parameter.grad = None
        module(x)[0].backward(gradient)

    return call


def _flax(step: Mapping[str, Any]) -> Callable[[], None]:
    import flax.linen as nn  # type: ignore[import-not-found]
    import jax  # type: ignore[import-not-found]
    import jax.numpy as jnp  # type: ignore[import-not-found]

    B, T, D, H = step["shape"]
    jax.config.update("jax_enable_x64", step["dtype"] == "float64")
    dtype = jnp.dtype(step["dtype"])
    rnn = nn.RNN(getattr(nn, step["cell"])(H, dtype=dtype, param_dtype=dtype), time_major=True)
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (T, B, D), dtype)
    gradient = jax.random.normal(keys[1], (T, B, H), dtype)
    parameters = rnn.init(keys[2], x)
    # The scalar product with the output gradient makes it the gradient that flows back.
    compute = jax.jit(jax.value_and_grad(lambda p: jnp.vdot(rnn.apply(p, x), gradient)))

    def call() -> None:
        jax.block_until_ready(compute(parameters))

    return call


def limit_to(cores: int) -> None:
    """Keeps this process on so many cores: XLA takes all it sees, whatever number of threads is asked for."""
    if hasattr(os, "sched_setaffinity"):
        available: Iterable[int] = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, list(available)[:cores])
