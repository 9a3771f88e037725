"""Functions over the units of a row, which a cell may call in `step` and `before`: apart from them a cell is pointwise.

Others replace what a call does, as they can for torch's own functions: a symbol in place of a tensor writes the call down, and a
`Cut` takes the argument and gives a result in its place.
"""

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode, handle_torch_function, has_torch_function_unary

if TYPE_CHECKING:
    from gatelab.cells._cell import Cell

Reduction = Callable[[Tensor], Tensor]


def total(x: Tensor) -> Tensor:
    """The sum over the units of a row: y_k = x_1 + ... + x_H for every unit k.

    Args:
        x: (..., H).

    Returns:
        (..., H), the same for all units.
    """
    if has_torch_function_unary(x):
        return handle_torch_function(total, (x,), x)
    return x.sum(-1, keepdim=True).expand_as(x)


def mean(x: Tensor) -> Tensor:
    """The mean over the units of a row: y_k = (x_1 + ... + x_H) / H for every unit k.

    Args:
        x: (..., H).

    Returns:
        (..., H), the same for all units.
    """
    if has_torch_function_unary(x):
        return handle_torch_function(mean, (x,), x)
    return x.mean(-1, keepdim=True).expand_as(x)


def cumulate(x: Tensor) -> Tensor:
    """The running sum along the units of a row: y_k = x_1 + ... + x_k.

    Args:
        x: (..., H).

    Returns:
        (..., H).
    """
    if has_torch_function_unary(x):
        return handle_torch_function(cumulate, (x,), x)
    return x.cumsum(-1)


def largest(x: Tensor) -> Tensor:
    """The largest value of a row, for every unit; a constant for derivatives, for shifts that cancel.

    Args:
        x: (..., H).

    Returns:
        (..., H), the same for all units.
    """
    if has_torch_function_unary(x):
        return handle_torch_function(largest, (x,), x)
    return x.detach().amax(-1, keepdim=True).expand_as(x)


def softmax(x: Tensor) -> Tensor:
    """The softmax over the units of a row: y_k = exp(x_k) / (exp(x_1) + ... + exp(x_H)).

    Args:
        x: (..., H).

    Returns:
        (..., H).
    """
    if not isinstance(x, Tensor):  # a symbol
        return handle_torch_function(softmax, (x,), x)
    e = torch.exp(x - largest(x))
    return e / total(e)


def normalize(x: Tensor, eps: float = 1e-5) -> Tensor:
    """Layer normalisation over the units of a row, without gain and shift: y = (x - mean(x)) / sqrt(mean((x - mean(x))^2) + eps).

    Args:
        x: (..., H).
        eps: added to the variance.

    Returns:
        (..., H).

    References:
        Ba, Kiros & Hinton 2016, arXiv 1607.06450.
    """
    if not isinstance(x, Tensor):  # a symbol
        return handle_torch_function(normalize, (x,), x)
    away = x - mean(x)
    return away * torch.rsqrt(mean(away * away) + eps)


def normalize_together(*x: Tensor, eps: float = 1e-5) -> tuple[Tensor, ...]:
    """`normalize` over the units of several values at once, as if they stood behind each other in one row.

    Args:
        x: (..., H) each.
        eps: added to the variance.

    Returns:
        (..., H) each.
    """
    center = mean(sum(x[1:], x[0]) / len(x))
    away = [value - center for value in x]
    squares = [value * value for value in away]
    scale = torch.rsqrt(mean(sum(squares[1:], squares[0]) / len(x)) + eps)
    return tuple(value * scale for value in away)


REDUCTIONS: dict[Any, str] = {of: of.__name__ for of in (total, mean, cumulate, largest)}


class Cut(TorchFunctionMode):
    """Takes the arguments of `total`, `mean`, `cumulate` and `largest`, and returns what it is given in place of their results.

    Attributes:
        calls: of each call, in order: the function, its argument, and what it returned.
    """

    def __init__(self, result: Callable[[int, Reduction, Tensor], Tensor]) -> None:
        """Args:
        result: from the number of the call, the function and its argument.
        """
        super().__init__()
        self.calls: list[tuple[Reduction, Tensor, Tensor]] = []
        self._result = result

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in REDUCTIONS:
            return func(*args, **(kwargs or {}))
        (x,) = args
        result = self._result(len(self.calls), func, x)
        self.calls.append((func, x, result))
        return result


def watched() -> Cut:
    """A `Cut` that changes nothing."""
    return Cut(lambda _, of, x: of(x))


@functools.lru_cache(maxsize=1024)
def reductions_of(cell: "Cell") -> tuple[str, ...]:
    """The names of the functions over units that one time step calls, in the order of the calls."""
    from gatelab.cells._late import yielded

    groups = ((*cell.gates, *cell.given), cell.state, cell.vectors)
    with torch.no_grad(), watched() as cut:
        parts = [SimpleNamespace(**{name: torch.full((1,), 0.5, device="cpu") for name in names}) for names in groups]
        for _ in yielded(cell, *parts):
            pass
        cell.step(*parts)
    return tuple(REDUCTIONS[of] for of, _, _ in cut.calls)
