"""The printer of a cell's step and adjoint as Triton kernels."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from torch import fx

from gatelab.cells import Cell
from gatelab.kernels._equations import Equations
from gatelab.kernels._operators import OPERATORS, Table
from gatelab.kernels._printing import Language, body_of, gate_order

# Triton's interpreter has no arc tangent.
PRINTABLE = Table({key: entry for key, entry in OPERATORS.items() if "atan_of" not in str(entry.form)})


class _Triton(Language):
    """SHAPE and REAL are constants of every kernel."""

    def number(self, value: bool | int | float) -> str:
        value = float(value)
        text = f'float("{value}")' if math.isnan(value) or math.isinf(value) else repr(value)
        return f"tl.full(SHAPE, {text}, REAL)"

    def truth(self, value: bool) -> str:
        return f"tl.full(SHAPE, {int(value)}, tl.int1)"

    def declared(self, name: str, mask: bool, value: str) -> str:  # noqa: ARG002
        return f"{name} = {value}"


LANGUAGE = _Triton()


class Layout(NamedTuple):
    """The blocks of columns in what the kernels read and write, each H wide.

    Attributes:
        gates: pre-activations: those fed by the input only, by both, by the state only.
        shown: the same in the order of the cell, which records have.
        inputs: how many of them, from the first, have a part W x.
        recurrent: how many of them, to the last, have a part R h.
        state: the parts of the state.
        fed: the parts that enter the recurrent product.
        reads: the parts of the state before the step that the adjoint reads.
        vectors: the parameters of every unit.
        saved: how many values the step keeps for its adjoint.
    """

    gates: tuple[str, ...]
    shown: tuple[str, ...]
    inputs: int
    recurrent: int
    state: tuple[str, ...]
    fed: tuple[str, ...]
    reads: tuple[str, ...]
    vectors: tuple[str, ...]
    saved: int

    @classmethod
    def of(cls, cell: Cell, equations: Equations) -> "Layout":
        alone, both, recurrent, _ = gate_order(cell)  # cells with late ones are refused
        return cls(
            (*alone, *both, *recurrent),
            tuple(cell.gates),
            len(alone) + len(both),
            len(both) + len(recurrent),
            cell.state,
            cell.fed_back,
            tuple(name for name in cell.state if name in equations.reads),
            cell.vectors,
            len(equations.saved),
        )


_HEADER = '''"""Printed from the equations of {name}."""

import triton
import triton.language as tl

from gatelab.kernels.gpu._vocabulary import (
    at_least, at_most, choose, cos_of, erf_of, exp_of, expm1_of, floor_of, is_nan, log1p_of, log_of, magnitude, maximum_of,
    minimum_of, pow_of, sigmoid_of, sign_of, sin_of, sqrt_of, tanh_of,
)
'''

# One program: some units of one row of one replica. Values kept over time lie as (N, K, B, columns), K steps a chunk.
_PLACE = """
    SHAPE: tl.constexpr = (BLOCK,)
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = column < H
    n = row // B
    at = n * K * B + row % B
    flat = row * H + column
"""


def header(cell: Cell, real: str) -> str:
    """The first lines of a module of kernels, which compute in a number format of `triton.language`."""
    return _HEADER.format(name=type(cell).__name__) + f"\nREAL = tl.constexpr(tl.{real})\n"


def print_stepwise(cell: Cell, equations: Equations, real: str) -> str:
    """A module with the kernels `step` and `adjoint` of one time step.

    Args:
        cell: the equations.
        equations: as traced, by `PRINTABLE`.
        real: the number format that they compute in, a name in `triton.language`.
    """
    layout = Layout.of(cell, equations)
    return "\n\n".join([header(cell, real), _step(layout, equations), _adjoint(layout, equations)]) + "\n"


def _step(layout: Layout, equations: Equations) -> str:
    known = inputs_of_step(layout, equations)
    lines = _pre_activations(layout)
    lines += _loads("s", layout.state, "s + {index} * ROWS * H + flat")
    lines += _loads("p", layout.vectors, f"p + (n * {len(layout.vectors)} + {{index}}) * H + column")
    results = [equations.outputs["s", name] for name in layout.state]
    lines += body_of(LANGUAGE, equations.needed([*results, *equations.saved], set(known)), known)
    new = {name: known[node] for name, node in zip(layout.state, results, strict=True)}
    lines += [f"after_{name} = {value}" for name, value in new.items()]
    lines += [f"result = after_{layout.state[0]}"]
    lines += ["if ENDS:", "    alive = tl.load(live + row % B) != 0", "    result = tl.where(alive, result, 0)"]
    lines += [f"    after_{name} = tl.where(alive, after_{name}, s_{name})" for name in layout.state]
    lines += ["tl.store(out + at * H + column, result, mask=inside)"]
    lines += recorded(layout, "ROWS * K")
    fresh = [
        f"    after_{name} = tl.where(fresh, {load(f'restart + {i} * ROWS * H + flat')}, after_{name})"
        for i, name in enumerate(layout.state)
    ]
    lines += ["if RESETS:", "    fresh = tl.load(resets + row % B) != 0", *fresh]
    lines += [
        f"tl.store(fed + (n * (K + 1) * B + row % B) * {len(layout.fed)} * H + {index} * H + column, after_{name}, mask=inside)"
        for index, name in enumerate(layout.fed)
    ]
    keep = _stores([known[node] for node in equations.saved], f"kept + at * {layout.saved} * H")
    keep += _stores([f"s_{name}" for name in layout.reads], f"reads + at * {len(layout.reads)} * H")
    if keep:
        lines += ["if KEEP:", *("    " + line for line in keep)]
    lines += _stores([f"after_{name}" for name in layout.state], "s + flat", "ROWS * H", column="")
    arguments = "x, product, b, p, s, restart, fed, out, kept, reads, record_a, record_s, live, resets, B, H, K, ROWS"
    return kernel("step", arguments, "BIAS, ENDS, KEEP, RECORD, RESETS, BLOCK", _PLACE, lines)


def inputs_of_step(layout: Layout, equations: Equations) -> dict[fx.Node, str]:
    """The names of what a step is computed from."""
    known = {equations.inputs["a", name]: f"a_{name}" for name in layout.gates}
    known |= {equations.inputs["s", name]: f"s_{name}" for name in layout.state}
    return known | {equations.inputs["p", name]: f"p_{name}" for name in layout.vectors}


def inputs_of_adjoint(layout: Layout, equations: Equations) -> dict[fx.Node, str]:
    """The names of what the adjoint of a step is computed from."""
    known = {equations.inputs["ds", name]: f"ds_{name}" for name in layout.state}
    known |= {equations.inputs["s", name]: f"s_{name}" for name in layout.reads}
    known |= {equations.inputs["p", name]: f"p_{name}" for name in layout.vectors}
    return known | {node: f"kept_{index}" for index, node in enumerate(equations.saved)}


def recorded(layout: Layout, rows: str) -> list[str]:
    """Stores what `step` is given, as (parts, N, T, B, H), with this number of `rows`; 0 after the end of a row."""
    lines = ["if RECORD:"]
    for kind, names in (("a", layout.shown), ("s", layout.state)):
        for index, name in enumerate(names):
            value = f"shown_{kind}_{name}"
            lines += [f"    {value} = {kind}_{name}", "    if ENDS:", f"        {value} = tl.where(alive, {value}, 0)"]
            lines += [f"    tl.store(record_{kind} + {index} * {rows} * H + at * H + column, {value}, mask=inside)"]
    return lines


def _pre_activations(layout: Layout) -> list[str]:
    lines, first = [], len(layout.gates) - layout.recurrent
    for index, name in enumerate(layout.gates):
        parts = []
        if index < layout.inputs:
            parts.append(load(f"x + at * {layout.inputs} * H + {index} * H + column"))
        if index >= first:
            parts.append(load(f"product + row * {layout.recurrent} * H + {index - first} * H + column"))
        lines.append(f"a_{name} = {' + '.join(parts)}")
        if index >= layout.inputs:  # the others got it from the product with the input
            value = load(f"b + (n * {len(layout.gates)} + {index}) * H + column")
            lines += ["if BIAS:", f"    a_{name} += {value}"]
    return lines


def _adjoint(layout: Layout, equations: Equations) -> str:
    known = inputs_of_adjoint(layout, equations)
    lines = _loads("ds", layout.state, "ds + {index} * ROWS * H + flat")
    lines += [
        f"ds_{name} += {load(f'd_fed + row * {len(layout.fed)} * H + {index} * H + column')}"
        for index, name in enumerate(layout.fed)
    ]
    lines += ["if RESETS:", "    fresh = tl.load(resets + row % B) != 0"]
    for index, name in enumerate(layout.state):
        place = f"d_restart + {index} * ROWS * H + flat"
        lines += [f"    tl.store({place}, {load(place)} + tl.where(fresh, ds_{name}, 0), mask=inside)"]
        lines += [f"    ds_{name} = tl.where(fresh, 0, ds_{name})"]
    lines += [f"d_result = {load('d_out + at * H + column')}"]
    lines += ["if ENDS:", "    alive = tl.load(live + row % B) != 0", "    d_result = tl.where(alive, d_result, 0)"]
    lines += [f"ds_{layout.state[0]} += d_result"]
    lines += flowing(layout, "ROWS * K")
    lines += _loads("s", layout.reads, f"reads + at * {len(layout.reads)} * H + {{index}} * H + column")
    kept = [str(index) for index in range(layout.saved)]
    lines += _loads("kept", kept, f"kept + at * {layout.saved} * H + {{index}} * H + column")
    lines += _loads("p", layout.vectors, f"p + (n * {len(layout.vectors)} + {{index}}) * H + column")
    groups: dict[str, Sequence[str]] = {"da": layout.gates, "ds": layout.state, "dp": layout.vectors}
    results = {kind: [equations.outputs[kind, name] for name in names] for kind, names in groups.items()}
    wanted = [node for group in results.values() for node in group]
    lines += body_of(LANGUAGE, equations.needed(wanted, set(known)), known)
    names = {"da": "da", "ds": "earlier", "dp": "dp"}
    lines += [
        f"{names[kind]}_{name} = {known[node]}" for kind in groups for name, node in zip(groups[kind], results[kind], strict=True)
    ]
    lines += by_record(layout, "ROWS * K")
    lines += ["if ENDS:"]
    lines += [f"    da_{name} = tl.where(alive, da_{name}, 0)" for name in layout.gates]
    lines += [f"    dp_{name} = tl.where(alive, dp_{name}, 0)" for name in layout.vectors]
    lines += [f"    earlier_{name} = tl.where(alive, earlier_{name}, ds_{name})" for name in layout.state]
    lines += _stores([f"da_{name}" for name in layout.gates], f"da + at * {len(layout.gates)} * H")
    lines += _stores([f"earlier_{name}" for name in layout.state], "ds + flat", "ROWS * H", column="")
    for index, name in enumerate(layout.vectors):
        place = f"dp + {index} * ROWS * H + flat"
        lines += [f"tl.store({place}, {load(place)} + dp_{name}, mask=inside)"]
    arguments = "d_out, d_fed, d_restart, kept, reads, d_record_a, d_record_s, p, ds, da, dp, flow, live, resets, B, H, K, ROWS"
    return kernel("adjoint", arguments, "ENDS, RECORD, RESETS, FLOW, BLOCK", _PLACE, lines)


def flowing(layout: Layout, rows: str) -> list[str]:
    """Stores the derivatives with respect to the state after a step, like `recorded`."""
    lines = ["if FLOW:"]
    for index, name in enumerate(layout.state):
        lines += [f"    shown_{name} = ds_{name}", "    if ENDS:", f"        shown_{name} = tl.where(alive, shown_{name}, 0)"]
        lines += [f"    tl.store(flow + {index} * {rows} * H + at * H + column, shown_{name}, mask=inside)"]
    return lines


def by_record(layout: Layout, rows: str) -> list[str]:
    """Adds the derivatives with respect to the records."""
    lines = ["if RECORD:"]
    for kind, target, names in (("a", "da", layout.shown), ("s", "earlier", layout.state)):
        for index, name in enumerate(names):
            place = f"d_record_{kind} + {index} * {rows} * H + at * H + column"
            lines += [f"    {target}_{name} += tl.load({place}, mask=inside, other=0).to(REAL)"]
    return lines


def kernel(name: str, arguments: str, constants: str, place: str, lines: Iterable[str]) -> str:
    """A kernel of these lines; `place`: the lines that say where a program works."""
    declared = ", ".join(f"{constant}: tl.constexpr" for constant in constants.split(", "))
    body = "".join(f"    {line}\n" for line in lines)
    return f"@triton.jit\ndef {name}({arguments}, {declared}):{place}{body}"


def load(place: str) -> str:
    """The value at a place in memory; 0 outside of the tensor."""
    return f"tl.load({place}, mask=inside, other=0).to(REAL)"


def _loads(kind: str, names: Iterable[str], place: str) -> list[str]:
    return [f"{kind}_{name} = {load(place.format(index=index))}" for index, name in enumerate(names)]


def _stores(values: Iterable[str], base: str, width: str = "H", column: str = " + column") -> list[str]:
    return [f"tl.store({base} + {index} * {width}{column}, {value}, mask=inside)" for index, value in enumerate(values)]
