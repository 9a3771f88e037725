"""Compares a user's cell with the eager loop, once, before its kernel is used.

The tests of gatelab compare its own cells. A user's cell has not been compared before, and a wrong number looks like any
other: a few steps forward and back on random data cost a few milliseconds.
"""

import ctypes
import functools
from typing import Any

import torch
from torch import Tensor
from torch.fx.node import map_arg
from torch.utils._python_dispatch import _disable_current_modes

from gatelab.cells import Cell, operand_shapes
from gatelab.kernels import eager
from gatelab.kernels._inputs import Inputs, read_weights
from gatelab.kernels._scan import Weights
from gatelab.kernels.cpu import build
from gatelab.kernels.cpu._call import POOL, divide, library
from gatelab.kernels.cpu._function import LoopCall, adjoint, forward
from gatelab.kernels.cpu._printed import is_ours
from gatelab.kernels.cpu._printer import print_nodes
from gatelab.kernels.cpu._source import equations, part

_N, _T, _B, _D, _H = 1, 3, 2, 3, 5
# Relative to the largest number of a tensor. Three steps round a few dozen times; a cell may amplify that a hundredfold.
_TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-9}


def difference(cell: Cell, dtype: torch.dtype) -> str | None:
    """Why a compiled cell must not be used: a sentence with the operator that differs, or None.

    Args:
        cell: a cell with a library.
        dtype: the number format of the library.
    """
    return None if is_ours(cell.origin) else _difference(cell, dtype)


@functools.cache
def _difference(cell: Cell, dtype: torch.dtype) -> str | None:
    # The caller's modes must not affect this: it computes real numbers and real derivatives.
    with _disable_current_modes(), torch.device("cpu"), torch.inference_mode(False), torch.autocast("cpu", enabled=False):
        draw = torch.Generator().manual_seed(0)

        def random(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=draw, dtype=torch.float64).to(dtype)

        named = {name: random(_N, *shape) for name, shape in operand_shapes(cell, _D, _H).items()}
        weights = Weights.of(cell, named)._replace(given={name: random(_N, _T, _B, _H) for name in cell.given})
        inputs = Inputs.of(cell, weights, random(_N, _T, _B, _D), tuple(random(_N, _B, _H) for _ in cell.state), None)
        cotangents = [random(_N, _T, _B, cell.output_size(_H)), *(random(_N, _B, _H) for _ in cell.state)]
        compiled = _compiled(cell, inputs, cotangents)
        try:
            expected = _eager(cell, inputs, cotangents)
        except Exception as error:  # the step is the user's code; the eager loop will raise the same error
            return f"the eager loop cannot run {type(cell).__name__}: {type(error).__name__}: {error}"
        labels = ["the output", *(f"the last state '{name}'" for name in cell.state)]
        late, restart = (f"R_{name}" for name in cell.late), (f"restart {name}" for name in cell.state)
        sources = ("x", "W", "R", "b", *cell.vectors, *late, *read_weights(cell), *cell.given, *cell.state, *restart)
        labels += [f"a gradient ({name})" for name in sources]
        for label, one, other in zip(labels, compiled, expected, strict=True):
            amount = _apart(one, other)
            if amount > _TOLERANCE[dtype]:
                return (
                    f"its kernel for {type(cell).__name__} computes other numbers than the eager loop: {label} differs by "
                    f"{amount:.2g} of its largest value. {_suspect(cell, dtype, random)} Please report this."
                )
    return None


def _compiled(cell: Cell, inputs: Inputs, cotangents: list[Tensor]) -> list[Tensor | None]:
    kernels = library(cell, inputs.x.dtype)
    call = LoopCall(kernels, cell, kernels.form(inputs.sizes, divide(_N, _B, 1), _T), None, None, False, True, None)
    with torch.no_grad():
        made, held = forward(call, inputs, POOL.take)
        return [*made, *adjoint(call, inputs, made[0], held, cotangents, _wanted(inputs))]


def _wanted(inputs: Inputs) -> list[bool]:
    """Which tensors have gradients; what is given in the place of pre-activations has none."""
    return [value is not None and all(value is not other for other in inputs.given) for value in inputs.flat()]


def _eager(cell: Cell, inputs: Inputs, cotangents: list[Tensor]) -> list[Tensor | None]:
    pairs = zip(inputs.flat(), _wanted(inputs), strict=True)
    leaves = [None if value is None else value.clone().requires_grad_(wish) for value, wish in pairs]
    again = Inputs.back(cell, tuple(leaves))
    with torch.enable_grad():
        scan = eager.scan(cell, again.weights(cell), again.x, again.s0)
    results = [scan.output, *scan.state]
    given = [leaf for leaf in leaves if leaf is not None and leaf.requires_grad]
    found = iter(torch.autograd.grad(results, given, cotangents, allow_unused=True))
    return [
        *(value.detach() for value in results),
        *(next(found) if leaf is not None and leaf.requires_grad else None for leaf in leaves),
    ]


def _apart(one: Tensor | None, other: Tensor | None) -> float:
    """The largest difference relative to the largest value, where the eager loop is finite; None stands for a gradient of zeros."""
    if one is None or other is None:
        only = one if other is None else other
        return 0.0 if only is None else float(only.abs().max() > 0)
    finite = other.isfinite()
    if not finite.any():
        return 0.0
    one, other = one[finite], other[finite]
    return float((one - other).abs().max() / other.abs().max().clamp(min=1)) if one.isfinite().all() else torch.inf


def _suspect(cell: Cell, dtype: torch.dtype, random: Any) -> str:
    """The first operator of the step or its derivative whose result differs from torch's for the same operands."""
    traced = equations(cell, dtype)
    text, nodes = print_nodes(traced)
    number = "#define DOUBLE\n" if dtype == torch.float64 else ""
    compiled = build.load("\n".join([number + part("vector"), text]), "nodes")
    count = 64  # a multiple of every vector length
    given = random(len(traced.inputs), count)
    made = torch.empty(len(nodes), count, dtype=dtype)
    compiled.nodes(*(ctypes.c_void_p(value.data_ptr()) for value in (given, made)), ctypes.c_long(count))
    values: dict[Any, Any] = dict(zip(traced.inputs.values(), given, strict=True))
    for node, value in zip(nodes, made, strict=True):
        args, kwargs = map_arg((node.args, node.kwargs), lambda source: values[source])
        operator: Any = node.target
        expected = operator(*args, **kwargs).expand(count)
        if _apart(value, expected.to(dtype)) > 100 * torch.finfo(dtype).eps:  # one operator rounds a few times
            return f"The operator {operator} is the first that differs."
        values[node] = value.bool() if expected.dtype == torch.bool else value
    return f"Its operators are {', '.join(sorted({str(node.target) for node in nodes}))}."
