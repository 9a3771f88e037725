"""The time loop on the device as autograd functions."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from gatelab.kernels._gate import check, special
from gatelab.kernels._inputs import Inputs, eagerly, graph_is_kept
from gatelab.kernels.gpu import _loops, _peer, _stepwise
from gatelab.kernels.gpu._products import Call

_PATHS: dict[str, ModuleType] = {"loops": _loops, "stepwise": _stepwise}


def forward(call: Call, inputs: Inputs) -> tuple[Tensor, ...]:
    """Output, last states and, on request, records, without a backward pass."""
    if call.path == "peer":
        return _peer.forward(call.cell, inputs, train=False)
    return _PATHS[call.path].forward(call, inputs, save=False)[0]


class TimeLoop(torch.autograd.Function):
    """Output, last states and, on request, records of one layer and direction."""

    @staticmethod
    def forward(ctx: Any, call: Call, *tensors: Tensor | None) -> tuple[Tensor, ...]:
        ctx.call = call
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        inputs = Inputs.back(call.cell, tensors)
        if call.path != "peer":
            made, ctx.held = _PATHS[call.path].forward(call, inputs, save=True)
            return made
        with torch.enable_grad():
            aliases = tuple(
                None if value is None else value.detach().requires_grad_(wish)
                for value, wish in zip(tensors, ctx.needs_input_grad[1:], strict=True)
            )
            made = _peer.forward(call.cell, Inputs.back(call.cell, aliases), train=True)
        ctx.held = aliases, made
        return tuple(value.detach() for value in made)

    @staticmethod
    def backward(ctx: Any, *cotangents: Tensor | None) -> tuple[Tensor | None, ...]:
        call: Call = ctx.call
        tensors: tuple[Tensor | None, ...] = ctx.saved_tensors  # raises if the graph was freed
        wanted = ctx.needs_input_grad[1:]
        if torch.is_grad_enabled() or special((*tensors, *cotangents)) is not None:
            return (None, *eagerly("gpu", call, tensors, wanted, cotangents))
        inputs = Inputs.back(call.cell, tensors)
        # Hooks on saved tensors may return anything.
        check(call.cell, inputs.weights(call.cell), inputs.x, inputs.s0, restart=inputs.again)
        if call.path == "peer":
            made = _through_peer(ctx.held[0], ctx.held[1], wanted, cotangents)
        else:
            found = _PATHS[call.path].backward(call, inputs.laid_out(), ctx.held, cotangents, wanted)
            made = tuple(value if wish else None for value, wish in zip(found, wanted, strict=True))
        if not graph_is_kept():
            ctx.held = None
        return (None, *made)


def _through_peer(
    aliases: Sequence[Tensor | None], made: Sequence[Tensor], wanted: Sequence[bool], cotangents: Sequence[Tensor | None]
) -> tuple[Tensor | None, ...]:
    pairs = [(value, of) for value, of in zip(made, cotangents, strict=True) if of is not None]
    sources = [value for value, wish in zip(aliases, wanted, strict=True) if wish and value is not None]
    if not pairs:
        return (None,) * len(aliases)
    values, gradients = zip(*pairs, strict=True)
    found = iter(torch.autograd.grad(values, sources, gradients, retain_graph=True))
    return tuple(next(found) if wish and value is not None else None for value, wish in zip(aliases, wanted, strict=True))
