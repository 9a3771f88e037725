"""The Triton kernels of a cell."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from gatelab.cells import Cell
from gatelab.kernels._equations import Equations
from gatelab.kernels._trace import trace
from gatelab.kernels.gpu._loop_printer import print_loops
from gatelab.kernels.gpu._modules import module_of
from gatelab.kernels.gpu._printer import PRINTABLE, Layout, print_stepwise

# The number format of the equations: half precision is only for memory and products.
COMPUTES = {
    torch.float64: torch.float64,
    torch.float32: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float16: torch.float32,
}

# Lets a product and a sum become one operation. Triton 3.9 warns if a launch sets neither this nor the opposite.
LAUNCH = {"enable_fp_fusion": True}


class Kernels(NamedTuple):
    """Attributes:
    layout: the layout of memory.
    forward: the kernel of one or of all time steps.
    backward: the kernel of its derivative.
    """

    layout: Layout
    forward: Any
    backward: Any


@functools.cache
def equations(cell: Cell, real: torch.dtype) -> Equations:
    """The traced equations.

    Raises:
        NotTraceableError: they cannot be printed.
    """
    return trace(cell, PRINTABLE, real)


def source(cell: Cell, real: torch.dtype, printed: Callable[[Cell, Equations, str], str] = print_stepwise) -> str:
    """A module of kernels.

    Raises:
        NotTraceableError: the equations cannot be printed.
    """
    return printed(cell, equations(cell, real), str(real).removeprefix("torch."))


@functools.cache
def kernels(cell: Cell, real: torch.dtype) -> Kernels:
    """The kernels of one time step, compiled when they are first launched.

    Raises:
        NotTraceableError: the equations cannot be printed.
    """
    module = module_of(source(cell, real), f"{type(cell).__name__}_step")
    return Kernels(Layout.of(cell, equations(cell, real)), module.step, module.adjoint)


@functools.cache
def loops(cell: Cell, real: torch.dtype) -> Kernels:
    """The kernels of all time steps, compiled when they are first launched.

    Raises:
        NotTraceableError: the equations cannot be printed.
    """
    module = module_of(source(cell, real, print_loops), f"{type(cell).__name__}_loop")
    return Kernels(Layout.of(cell, equations(cell, real)), module.forward, module.backward)
