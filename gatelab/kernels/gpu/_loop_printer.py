"""The printer of whole time loops as one Triton kernel each, forward and backward: state and recurrent weights stay on the chip."""

from collections.abc import Mapping

from gatelab.cells import Cell
from gatelab.kernels._equations import Equations
from gatelab.kernels._printing import body_of
from gatelab.kernels.gpu._printer import (
    LANGUAGE,
    Layout,
    by_record,
    flowing,
    header,
    inputs_of_adjoint,
    inputs_of_step,
    kernel,
    load,
    recorded,
)

# One program: some rows and some units of one replica; all units where there is a recurrent product. Values kept over time lie
# as (N, T, B, columns).
_PLACE = """
    SHAPE: tl.constexpr = (TILE, BLOCK)
    rows = tl.program_id(0) * TILE + tl.arange(0, TILE)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    n = tl.program_id(2).to(tl.int64)
    unit = columns < H
    inside = (rows < B)[:, None] & unit[None, :]
    column = columns[None, :]
    last_row = n * B + rows.to(tl.int64)[:, None]
    flat = last_row * H + column
"""
_FRESH = "tl.load(resets + t * B + rows, mask=rows < B, other=0)[:, None] != 0"
_AT = "(n * T + {t}) * B + rows.to(tl.int64)[:, None]"


def print_loops(cell: Cell, equations: Equations, real: str) -> str:
    """A module with the kernels `forward` and `backward` of all time steps.

    Args:
        cell: the equations.
        equations: as traced, by `PRINTABLE`.
        real: the number format that they compute in, a name in `triton.language`.
    """
    layout = Layout.of(cell, equations)
    return "\n\n".join([header(cell, real), _forward(layout, equations), _backward(layout, equations)]) + "\n"


def _forward(layout: Layout, equations: Equations) -> str:
    first = len(layout.gates) - layout.recurrent
    known = inputs_of_step(layout, equations)
    lines = _weights(layout, transposed=True) + _vectors(layout)
    lines += [f"s_{name} = {load(f's0 + {index} * N * B * H + flat')}" for index, name in enumerate(layout.state)]
    lines += ["if ENDS:", "    end = tl.load(lengths + rows, mask=rows < B, other=0)[:, None]"]
    again = [f"    again_{name} = {load(f'restart + {i} * N * B * H + flat')}" for i, name in enumerate(layout.state)]
    lines += ["if RESETS:", *again]
    for index, name in enumerate(layout.gates[first:], first):
        if index >= layout.inputs:
            place = f"b + (n * {len(layout.gates)} + {index}) * H + column"
            lines += [
                f"b_{name} = tl.full(SHAPE, 0, REAL)",
                "if BIAS:",
                f"    b_{name} += tl.load({place}, mask=unit[None, :], other=0)",
            ]
    reads = {name: f"x + at * {layout.inputs} * H + {i} * H + column" for i, name in enumerate(layout.gates[: layout.inputs])}
    lines += [f"at = {_AT.format(t='0')}", *_prefetch("x", reads)]
    body = [f"at = {_AT.format(t='t')}"]
    body += ["if RESETS:", f"    fresh = {_FRESH}"]
    body += [f"    s_{name} = tl.where(fresh, again_{name}, s_{name})" for name in layout.state]
    body += [f"fed_{name} = s_{name}.to(TYPE)" for name in layout.fed]
    body += ["if KEEP:", *(f"    {line}" for line in _kept_before(layout))] if layout.fed or layout.reads else []
    body += [f"a_{name} = x_{name}" for name in layout.gates[: layout.inputs]]
    for name in layout.gates[first:]:
        start = f"a_{name}" if name in layout.gates[: layout.inputs] else f"b_{name}"
        terms = [f"tl.dot(fed_{fed}, R_{name}_{fed}, input_precision=PRECISION, out_dtype=REAL)" for fed in layout.fed]
        body += [f"a_{name} = {' + '.join([start, *terms])}"]
    body += [f"at = {_AT.format(t='(t + 1) % T')}", *_prefetch("x", reads), f"at = {_AT.format(t='t')}"]
    results = [equations.outputs["s", name] for name in layout.state]
    body += body_of(LANGUAGE, equations.needed([*results, *equations.saved], set(known)), known)
    body += [f"after_{name} = {known[node]}" for name, node in zip(layout.state, results, strict=True)]
    body += [f"result = after_{layout.state[0]}"]
    body += ["if ENDS:", "    alive = t < end", "    result = tl.where(alive, result, 0)"]
    body += [f"    after_{name} = tl.where(alive, after_{name}, s_{name})" for name in layout.state]
    body += ["tl.store(out + at * H + column, result, mask=inside)"]
    body += recorded(layout, "N * T * B")
    if equations.saved:
        body += ["if KEEP:"]
        body += [
            f"    tl.store(kept + at * {layout.saved} * H + {index} * H + column, {known[node]}, mask=inside)"
            for index, node in enumerate(equations.saved)
        ]
    # The values of padded units must not reach the others through the product: 0 * NaN is NaN.
    body += [f"s_{name} = tl.where(inside, after_{name}, 0).to(REAL)" for name in layout.state]
    lines += ["for t in range(T):", *(f"    {line}" for line in body)]
    lines += [f"tl.store(last + {index} * N * B * H + flat, s_{name}, mask=inside)" for index, name in enumerate(layout.state)]
    arguments = "x, R, b, p, s0, restart, out, last, kept, reads, fed, record_a, record_s, lengths, resets, N, T, B, H"
    return kernel("forward", arguments, "BIAS, ENDS, KEEP, RECORD, RESETS, PRECISION, TYPE, TILE, BLOCK", _PLACE, lines)


def _kept_before(layout: Layout) -> list[str]:
    """Stores the parts of the state before a step that are kept."""
    lines = [
        f"tl.store(fed + at * {len(layout.fed)} * H + {index} * H + column, fed_{name}, mask=inside)"
        for index, name in enumerate(layout.fed)
    ]
    return lines + [
        f"tl.store(reads + at * {len(layout.reads)} * H + {index} * H + column, s_{name}, mask=inside)"
        for index, name in enumerate(layout.reads)
    ]


def _backward(layout: Layout, equations: Equations) -> str:
    known = inputs_of_adjoint(layout, equations)
    lines = _weights(layout, transposed=False) + _vectors(layout)
    lines += [f"earlier_{name} = {load(f'd_last + {index} * N * B * H + flat')}" for index, name in enumerate(layout.state)]
    lines += [f"d_fed_{name} = tl.full(SHAPE, 0, REAL)" for name in layout.fed]
    lines += [f"total_{name} = tl.full(SHAPE, 0, REAL)" for name in layout.vectors]
    lines += ["if ENDS:", "    end = tl.load(lengths + rows, mask=rows < B, other=0)[:, None]"]
    sources = {"d_result": "d_out + at * H + column"}
    sources |= {f"kept_{i}": f"kept + at * {layout.saved} * H + {i} * H + column" for i in range(layout.saved)}
    sources |= {f"s_{name}": f"reads + at * {len(layout.reads)} * H + {i} * H + column" for i, name in enumerate(layout.reads)}
    lines += [f"at = {_AT.format(t='T - 1')}", *_prefetch("", sources)]
    body = ["t = T - 1 - i"]
    body += [f"{name} = _{name}" for name in sources]
    body += [f"at = {_AT.format(t='(t + T - 1) % T')}", *_prefetch("", sources), f"at = {_AT.format(t='t')}"]
    body += [f"ds_{name} = earlier_{name}{f' + d_fed_{name}' if name in layout.fed else ''}" for name in layout.state]
    body += ["if ENDS:", "    alive = t < end", "    d_result = tl.where(alive, d_result, 0)"]
    body += [f"ds_{layout.state[0]} += d_result"]
    body += flowing(layout, "N * T * B")
    groups = {"da": layout.gates, "ds": layout.state, "dp": layout.vectors}
    results = {kind: [equations.outputs[kind, name] for name in names] for kind, names in groups.items()}
    body += body_of(LANGUAGE, equations.needed([node for group in results.values() for node in group], set(known)), known)
    names = {"da": "da", "ds": "earlier", "dp": "dp"}
    for kind, group in groups.items():
        for name, node in zip(group, results[kind], strict=True):
            body += [f"{names[kind]}_{name} = tl.full(SHAPE, 0, REAL) + {known[node]}"]
    body += by_record(layout, "N * T * B")
    for kind, group in groups.items():
        other = "ds" if kind == "ds" else None
        for name in group:
            target = f"{names[kind]}_{name}"
            rest = f"{other}_{name}" if other else "0"
            body += ["if ENDS:", f"    {target} = tl.where(alive, {target}, {rest})"]
    body += [f"total_{name} += dp_{name}" for name in layout.vectors]
    body += [f"da_{name} = tl.where(inside, da_{name}, 0).to(TYPE)" for name in layout.gates]
    body += [
        f"tl.store(da + at * {len(layout.gates)} * H + {index} * H + column, da_{name}, mask=inside)"
        for index, name in enumerate(layout.gates)
    ]
    recurrent = layout.gates[len(layout.gates) - layout.recurrent :]
    for fed in layout.fed:
        body += [f"d_fed_{fed} = tl.full(SHAPE, 0, REAL)"]
        body += [
            f"d_fed_{fed} = tl.dot(da_{name}, R_{name}_{fed}, d_fed_{fed}, input_precision=PRECISION, out_dtype=REAL)"
            for name in recurrent
        ]
    body += _at_restarts(layout)
    lines += ["if RESETS:", *(f"    by_restart_{name} = tl.full(SHAPE, 0, REAL)" for name in layout.state)]
    lines += ["for i in range(T):", *(f"    {line}" for line in body)]
    lines += _stored_at_the_begin(layout)
    arguments = (
        "d_out, d_last, R, p, kept, reads, d_record_a, d_record_s, da, ds0, d_restart, dp, flow, lengths, resets, N, T, B, H"
    )
    return kernel("backward", arguments, "ENDS, RECORD, RESETS, FLOW, PRECISION, TYPE, TILE, BLOCK", _PLACE, lines)


def _at_restarts(layout: Layout) -> list[str]:
    """Where a row starts again, the gradient of the state before it goes to the state that it starts with."""
    lines = ["if RESETS:", f"    fresh = {_FRESH}"]
    for name in layout.state:
        value = f"earlier_{name}{f' + d_fed_{name}' if name in layout.fed else ''}"
        lines += [
            f"    by_restart_{name} += tl.where(fresh, {value}, 0)",
            f"    earlier_{name} = tl.where(fresh, 0, earlier_{name})",
        ]
    lines += [f"    d_fed_{name} = tl.where(fresh, 0, d_fed_{name})" for name in layout.fed]
    return lines


def _stored_at_the_begin(layout: Layout) -> list[str]:
    """Stores the gradients of the first state, of the state of restarts and of the vectors, after the loop."""
    lines: list[str] = []
    for index, name in enumerate(layout.state):
        value = f"earlier_{name}{f' + d_fed_{name}' if name in layout.fed else ''}"
        lines += [f"tl.store(ds0 + {index} * N * B * H + flat, {value}, mask=inside)"]
    lines += ["if RESETS:"]
    lines += [
        f"    tl.store(d_restart + {index} * N * B * H + flat, by_restart_{name}, mask=inside)"
        for index, name in enumerate(layout.state)
    ]
    lines += [f"tl.store(dp + {index} * N * B * H + flat, total_{name}, mask=inside)" for index, name in enumerate(layout.vectors)]
    return lines


def _weights(layout: Layout, transposed: bool) -> list[str]:
    """The blocks of R (N, J * H, F * H), as [unit of the pre-activation, unit of the state] or transposed."""
    lines, width = [], f"{len(layout.fed)} * H"
    up, across = ("[None, :]", "[:, None]") if transposed else ("[:, None]", "[None, :]")
    for index, name in enumerate(layout.gates[len(layout.gates) - layout.recurrent :]):
        for number, fed in enumerate(layout.fed):
            row = f"(n * {layout.recurrent} * H + {index} * H + columns{up})"
            place = f"R + {row} * {width} + {number} * H + columns{across}"
            lines += [f"R_{name}_{fed} = tl.load({place}, mask=unit[:, None] & unit[None, :], other=0)"]
    return lines


def _vectors(layout: Layout) -> list[str]:
    count = len(layout.vectors)
    return [
        f"p_{name} = tl.load(p + (n * {count} + {index}) * H + column, mask=unit[None, :], other=0)"
        for index, name in enumerate(layout.vectors)
    ]


def _prefetch(prefix: str, sources: Mapping[str, str]) -> list[str]:
    """Loads for the next step, whose latency the current step hides. After the last step this loads the first one, to no effect."""
    return [f"{prefix}_{name} = {load(place)}" for name, place in sources.items()]
