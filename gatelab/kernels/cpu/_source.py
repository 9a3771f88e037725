"""The C source of a cell's time loop."""

import functools
from pathlib import Path

import torch

from gatelab.cells import Cell
from gatelab.errors import UserError
from gatelab.kernels._equations import Equations
from gatelab.kernels._operators import OPERATORS
from gatelab.kernels._trace import NotTraceableError, trace
from gatelab.kernels.cpu._printed import kept
from gatelab.kernels.cpu._printer import print_equations

# The argument of both entry points: one table for C and for ctypes. `*` is a tensor of reals, `[NAME]` one for each of NAME.
FIELDS = (
    *((name, "long") for name in ("N", "T", "B", "D", "H", "window", "blocks", "threads", "chunk", "segment")),
    *((name, "long") for name in ("x_n", "x_t", "x_b", "out_n", "out_t", "out_b")),
    *((name, "long") for name in ("dx_n", "dx_t", "dx_b", "d_out_n", "d_out_t", "d_out_b")),
    ("lengths", "const int64_t *"),
    ("resets", "const uint8_t *"),
    *((name, "const real *") for name in ("x", "W", "R", "b", "K", "Q", "P", "v")),
    ("p", "const real *[VECTORS]"),
    ("late", "const real *[MATRICES]"),
    ("given", "const real *[GIVEN]"),
    ("s0", "const real *[STATES]"),
    ("restart", "const real *[STATES]"),
    *((name, "real *") for name in ("out", "saved", "kept", "tape", "record_a", "record_s", "work")),
    ("last", "real *[STATES]"),
    *((name, "const real *") for name in ("d_out", "d_record_a", "d_record_s")),
    ("d_last", "const real *[STATES]"),
    *((name, "real *") for name in ("flow", "dx", "dW", "dR", "db", "dK", "dQ", "dP", "dv")),
    ("dp", "real *[VECTORS]"),
    ("dlate", "real *[MATRICES]"),
    ("ds0", "real *[STATES]"),
    ("drestart", "real *[STATES]"),
)

GENERATED = "#define GENERATED\n"  # without it each C file includes what stands before it, so that an editor can open it alone
_ABOUT_CONTRACT = """\
// What the C files get from the printer: the constants, the tables, step and adjoint of a cell, and the argument block of a call.
// This is what it prints for an LSTM in float32, as an example for who opens a C file alone; a cell has its own in place of it.
// tests/kernels holds it up to date.
#pragma once
#include "product.c"

"""


@functools.cache
def equations(cell: Cell, dtype: torch.dtype) -> Equations:
    """The traced equations in a number format.

    Raises:
        NotTraceableError: they cannot be printed.
    """
    return trace(cell, OPERATORS, dtype)


def source(cell: Cell, dtype: torch.dtype) -> str:
    """The whole C file for a cell and a number format.

    Raises:
        UserError: the equations cannot be printed; the sentence names operator and line.
    """
    try:
        printed = kept(cell, dtype, lambda: print_equations(cell, equations(cell, dtype)))
    except NotTraceableError as error:
        raise UserError(f"{type(cell).__name__} has no C form: {error}") from error
    number = "#define DOUBLE\n" if dtype == torch.float64 else ""
    loop = ("layout", "memory", "reduce", "late", "loop", "adjoint", "call")
    return "\n".join([GENERATED + number + part("vector"), part("product"), printed, _struct(), *map(part, loop)])


def contract(cell: Cell, dtype: torch.dtype) -> str:
    """What `contract.h` holds: all that the C files get from the printer, of a cell that serves as the example."""
    return _ABOUT_CONTRACT + print_equations(cell, equations(cell, dtype)) + "\n" + _struct()


def part(name: str) -> str:
    """One of the C files beside this module."""
    return (Path(__file__).parent / f"{name}.c").read_text("utf-8")


def _struct() -> str:
    members = []
    for name, kind in FIELDS:
        base, bracket, count = kind.partition("[")
        members.append(f"  {base}{'' if base.endswith('*') else ' '}{name}{f'[{count[:-1]} + 1]' if bracket else ''};")
    return "\n".join(["typedef struct {", *members, "} Call;", ""])
