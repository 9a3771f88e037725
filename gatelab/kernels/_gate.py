"""The gate in front of every backend: the one place that checks every tensor of a call before a kernel reads its memory."""

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from gatelab.cells import Cell, operand_shapes
from gatelab.errors import UserError
from gatelab.kernels._scan import Weights

# Classes whose memory holds the numbers of the tensor. Any other class may have no memory, or give it another meaning.
F = TypeVar("F", bound=Callable[..., Any])

CAPTURED = "torch.compile captures a graph"
_PLAIN = frozenset({Tensor, nn.Parameter, nn.Buffer})


def constant(function: F) -> F:
    """Marks a function that torch.compile calls while it captures a graph, and whose result is a constant of the graph."""
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]  # what torch.compiler.assume_constant_result does
    return function


def check(
    cell: Cell,
    weights: Weights,
    x: Tensor,
    s0: tuple[Tensor, ...],
    lengths: Tensor | None = None,
    resets: Tensor | None = None,
    restart: tuple[Tensor, ...] | None = None,
) -> None:
    """Refuses what no backend can compute: a missing tensor, or one of the wrong shape, layout, device or number format.

    Raises:
        UserError: one sentence with the name of the argument and what to do.
    """
    if not _fits_at_once(cell, weights, x, s0, restart):
        _name_the_misfit(cell, weights, x, s0, restart)
    _, T, B, _ = x.shape
    if lengths is not None:
        # On a GPU their values were checked at their source: here every layer would wait for the device.
        check_lengths(lengths, T, B, values=lengths.device.type == "cpu")
    if resets is not None:
        check_resets(resets, T, B)


def _fits_at_once(cell: Cell, weights: Weights, x: Tensor, s0: tuple[Tensor, ...], restart: tuple[Tensor, ...] | None) -> bool:
    """Whether everything fits. It collects no names, because a call of one step has no time for more."""
    states = len(cell.state)
    if len(s0) != states or (restart is not None and len(restart) != states) or not isinstance(s0[0], Tensor):
        return False
    if not isinstance(x, Tensor) or x.dim() != 4 or x.layout is not torch.strided or not x.is_floating_point():
        return False
    N, _, B, D = x.shape
    H, dtype, device = s0[0].shape[-1], x.dtype, x.device
    given = weights.named()
    for name, shape in _shapes(cell, N, D, H, "b" in given):
        value = given.get(name)
        if not isinstance(value, Tensor) or value.shape != shape or value.dtype is not dtype or value.device != device:
            return False
        if value.layout is not torch.strided:
            return False
    for name in cell.given:
        value = weights.given.get(name)
        if not isinstance(value, Tensor) or value.shape != (N, x.shape[1], B, H) or value.dtype is not dtype:
            return False
        if value.device != device or value.layout is not torch.strided or value.requires_grad:
            return False
    shape = (N, B, H)
    for value in s0 if restart is None else s0 + restart:
        if not isinstance(value, Tensor) or value.shape != shape or value.dtype is not dtype or value.device != device:
            return False
        if value.layout is not torch.strided:
            return False
    return True


def _name_the_misfit(cell: Cell, weights: Weights, x: Tensor, s0: tuple[Tensor, ...], restart: tuple[Tensor, ...] | None) -> None:
    """Raises UserError for the first argument that does not fit; returns if autocast makes it fit."""
    _is_tensor("input", x)
    if x.dim() != 4:
        raise UserError(f"The input has shape {tuple(x.shape)}, but the time loop takes (N, T, B, D).")
    N, _, B, D = x.shape
    if len(s0) != len(cell.state):
        raise UserError(f"The state has {len(s0)} parts, but {type(cell).__name__} carries {', '.join(cell.state)}.")
    _is_tensor(f"state {cell.state[0]}", s0[0])
    H = s0[0].shape[-1]
    given = weights.named()
    for name, shape in _shapes(cell, N, D, H, "b" in given):
        _fits(f"weight {name}", given.get(name), shape)
    parts = {f"initial state {name}": part for name, part in zip(cell.state, s0, strict=True)}
    if restart is not None:
        if len(restart) != len(cell.state):
            raise UserError(f"The restart has {len(restart)} parts, but {type(cell).__name__} carries {', '.join(cell.state)}.")
        parts |= {f"restart state {name}": part for name, part in zip(cell.state, restart, strict=True)}
    for name, part in parts.items():
        _fits(name, part, (N, B, H))
    for name in cell.given:
        _fits(f"value {name}", weights.given.get(name), (N, x.shape[1], B, H))
        parts[f"value {name}"] = weights.given[name]
        if weights.given[name].requires_grad:
            raise UserError(f"The value {name} requires a gradient, but it has none; use .detach().")
    named = {f"weight {name}": value for name, value in given.items()} | {"input": x} | parts
    like = next(iter(named.values()))
    for name, value in named.items():
        check_dense(name, value)
        if value.dtype != like.dtype and not _converted(value):
            raise UserError(_differs(name, value, like, next(iter(named))))
        if value.device != like.device:
            raise UserError(
                f"The {name} is on {value.device}, but the {next(iter(named))} is on {like.device}; "
                f"move one of them, as in .to('{like.device}')."
            )
    if not like.is_floating_point():
        raise UserError(f"The {next(iter(named))} is {_word(like)}, but the time loop computes in floating point; use .float().")


def check_dense(name: str, value: Tensor) -> None:
    """Refuses a tensor that has no strides.

    Raises:
        UserError: it is sparse, nested or the like.
    """
    if value.layout is not torch.strided:
        raise UserError(f"The {name} has the layout {value.layout}, but the time loop reads dense tensors; use .to_dense().")


def check_lengths(lengths: Tensor, T: int, B: int, values: bool = True) -> None:
    """Refuses lengths that are not B integers from 1 to T.

    Args:
        lengths: on any device.
        T, B: steps and rows of the input.
        values: whether to check more than type and shape. That is skipped where it is impossible: while a graph is captured or
            transformed.

    Raises:
        UserError: they are not.
    """
    whole = not (lengths.is_floating_point() or lengths.is_complex()) and lengths.dtype != torch.bool
    fits = lengths.shape == (B,) and whole
    if values and fits and B and special((lengths,)) is None and lengths.device.type != "meta":
        least, most = torch.stack(torch.aminmax(lengths)).tolist()  # one copy from a GPU, not two
        fits = least >= 1 and most <= T
    if not fits:
        shown = lengths.tolist() if special((lengths,)) is None and lengths.device.type != "meta" else tuple(lengths.shape)
        raise UserError(f"lengths must be {B} integers from 1 to {T}, but they are {shown}.")


def check_resets(resets: Tensor, T: int, B: int) -> None:
    """Refuses resets that are not booleans (B, T).

    Raises:
        UserError: they are not.
    """
    _is_tensor("resets", resets)
    if resets.shape != (B, T) or resets.dtype != torch.bool:
        raise UserError(
            f"resets must be booleans of shape (B, T) = {(B, T)}, but they are {_word(resets)} of shape {tuple(resets.shape)}."
        )


def special(tensors: Iterable[Tensor | None]) -> str | None:
    """What prevents a kernel from reading the memory of these tensors at this moment, in a few words, or None.

    Under a transformation, a capture or a special class, tensors stand for something other than the numbers at their address.
    """
    if torch.compiler.is_compiling():
        return "torch.export captures a graph" if torch.compiler.is_exporting() else CAPTURED
    if torch._C._get_tracing_state() is not None:
        return "torch.jit.trace captures a graph"
    if torch._C._functorch.peek_interpreter_stack() is not None:  # type: ignore[attr-defined]
        return "torch.func or torch.vmap transforms this call"
    if torch._C._len_torch_dispatch_stack():
        mode = type(torch._C._get_dispatch_stack_at(torch._C._len_torch_dispatch_stack() - 1)).__name__
        return f"the mode {mode} watches every operator"
    if forward_ad._current_level >= 0:
        return "forward-mode differentiation is on"
    for value in tensors:
        if value is None:
            continue
        if type(value) not in _PLAIN:
            return f"a tensor is of the class {type(value).__name__}"
        if not torch._C._has_storage(value):  # one of many that autograd batches (is_grads_batched)
            return "a tensor stands for a batch of tensors"
    return None


def readable(value: Tensor) -> Tensor:
    """The same numbers in memory: without lazy negation, and with memory for the zeros that autograd makes without it."""
    return value.clone() if value.is_neg() or value._is_zerotensor() else value


@constant
def _shapes(cell: Cell, N: int, D: int, H: int, bias: bool) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return _shapes_once(cell, N, D, H, bias)


@functools.lru_cache(maxsize=1024)
def _shapes_once(cell: Cell, N: int, D: int, H: int, bias: bool) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, (N, *shape)) for name, shape in operand_shapes(cell, D, H, bias).items())


def _is_tensor(name: str, value: object) -> None:
    if not isinstance(value, Tensor):
        raise UserError(f"The {name} is of type {type(value).__name__}, but it must be a tensor.")


def _fits(name: str, value: Tensor | None, shape: tuple[int, ...]) -> None:
    if value is None:
        raise UserError(f"The {name} is missing; its shape is {shape[1:]}.")
    _is_tensor(name, value)
    if value.shape != shape:
        raise UserError(f"The {name} has shape {tuple(value.shape[1:])}, but it must be {shape[1:]}.")


def _converted(value: Tensor) -> bool:
    """Whether autocast is on, which converts number formats where necessary."""
    return value.is_floating_point() and value.device.type in ("cpu", "cuda") and torch.is_autocast_enabled(value.device.type)


def _word(value: Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def _differs(name: str, value: Tensor, like: Tensor, of: str) -> str:
    sentence = f"The {name} is {_word(value)}, but the {of} is {_word(like)}."
    if name == "input":
        sentence = f"The input is {_word(value)}, but the parameters are {_word(like)}."
    return f"{sentence} Convert one of them, as in .to({like.dtype})."
