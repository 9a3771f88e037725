"""Training steps to be timed: forward, then backward with all weight gradients. Input and output gradient are given.

Each function imports what it needs: the process of one framework loads no other.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

FLASHRNN = ("cuda_fused", "cuda", "triton_fused")  # its backends


def build(step: Mapping[str, Any]) -> Callable[[], None]:
    """The step that a column of a case describes, ready to be called again and again.

    Raises:
        UserError: the backend cannot serve this cell, dtype or machine; perhaps not before the first call.
    """
    kinds = {"gatelab": _own, "compiled": _compiled, "torch": _torch, "flashrnn": _flashrnn, "pararnn": _pararnn, "flax": _flax}
    return kinds[step["kind"]](step)


def _own(step: Mapping[str, Any]) -> Callable[[], None]:
    return _forward_and_backward(_rnn(step), step)


def _compiled(step: Mapping[str, Any]) -> Callable[[], None]:
    import torch

    return _forward_and_backward(torch.compile(_rnn(step)), step)  # type: ignore[arg-type]


def _rnn(step: Mapping[str, Any]) -> "nn.Module":
    import torch

    from gatelab.cells import CELLS
    from gatelab.models import RNN

    _, _, D, H = step["shape"]
    cell = CELLS.build(step["cell"], **step["options"])
    return RNN(cell, D, H, backend=step["backend"], device=step.get("device"), dtype=getattr(torch, step["dtype"]))


def _torch(step: Mapping[str, Any]) -> Callable[[], None]:
    import torch

    _, _, D, H = step["shape"]
    module = getattr(torch.nn, step["module"])(D, H, device=step.get("device"), dtype=getattr(torch, step["dtype"]))
    once = _forward_and_backward(module, step)
    if "onednn" not in step:  # which is of a CPU
        return once

    def call() -> None:
        with torch.backends.mkldnn.flags(enabled=step["onednn"]):
            once()

    return call


def _flashrnn(step: Mapping[str, Any]) -> Callable[[], None]:
    """FlashRNN (github.com/NX-AI/flashrnn): one head, so that the equations are those of torch's module."""
    import torch
    from flashrnn import flashrnn  # type: ignore[import-not-found]
    from torch import nn

    B, T, D, H = step["shape"]
    function, gates = {"LSTM": ("lstm", 4), "RNN": ("elman", 1)}[step["module"]]
    factory = {"device": step["device"], "dtype": getattr(torch, step["dtype"])}

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.W = nn.Linear(D, gates * H, bias=False, **factory)
            self.R = nn.Parameter(torch.randn(gates, 1, H, H, **factory) / H**0.5)
            self.b = nn.Parameter(torch.zeros(gates, 1, H, **factory))

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
            Wx = self.W(x).view(T, B, gates, 1, H).transpose(0, 1)
            states, _ = flashrnn(Wx, self.R, self.b, function=function, backend=step["backend"], dtype=step["dtype"])
            return states[0].view(B, T, H).transpose(0, 1), None

    return _forward_and_backward(Layer(), step)


def _pararnn(step: Mapping[str, Any]) -> Callable[[], None]:
    """pararnn-torch: Newton's method over all steps at once. Its recurrent matrices are diagonal: other, cheaper equations."""
    import torch
    from pararnn import ParaGRU, ParaLSTM, ParaRNN  # type: ignore[import-not-found]
    from torch import nn

    _, _, D, H = step["shape"]
    cell = {"LSTM": ParaLSTM, "GRU": ParaGRU}[step["module"]](D, H)

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = ParaRNN(cell, device=step["device"], dtype=getattr(torch, step["dtype"])).train()

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, None]:
            return self.inner(x.transpose(0, 1)).transpose(0, 1), None

    return _forward_and_backward(Layer(), step)


def _forward_and_backward(module: "nn.Module", step: Mapping[str, Any]) -> Callable[[], None]:
    import torch

    B, T, D, H = step["shape"]
    dtype = getattr(torch, step["dtype"])
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(T, B, D, dtype=dtype, generator=generator).to(step.get("device"))
    gradient = torch.randn(T, B, H, dtype=dtype, generator=generator).to(step.get("device"))
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
