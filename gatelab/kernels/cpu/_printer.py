"""The printer of a cell's step and adjoint as C."""

import math
from collections.abc import Iterable, Mapping

from torch import fx

from gatelab.cells import Cell
from gatelab.kernels._printing import Language, body_of, gate_order, is_mask
from gatelab.kernels._trace import Equations


class _C(Language):
    """V are vectors of reals, M are masks."""

    def number(self, value: bool | int | float) -> str:
        value = float(value)
        if math.isnan(value):
            return "all(NAN)"
        if math.isinf(value):
            return "all(INFINITY)" if value > 0 else "all(-INFINITY)"
        return f"all({value!r})"

    def truth(self, value: bool) -> str:
        return f"all_whole({-1 if value else 0})"

    def declared(self, name: str, mask: bool, value: str) -> str:
        return f"const {'M' if mask else 'V'} {name} = {value};"


C = _C()


def print_equations(cell: Cell, equations: Equations) -> str:
    """The constants of a cell and its functions `step` and `adjoint` as C."""
    alone, both, recurrent = gate_order(cell)
    order = [*alone, *both, *recurrent]
    fed = cell.feedback if both or recurrent else ()
    reads = [name in equations.reads for name in cell.state]
    # The first part of the state need not be stored, because it is the output. Values read from a tape are stored nowhere else.
    own = [
        cell.memory is not None or (index > 0 and (read or name in fed))
        for index, (name, read) in enumerate(zip(cell.state, reads, strict=True))
    ]
    stored = iter(range(sum(own)))
    gates = list(cell.gates)
    constants = {
        "INPUT_ONLY": len(alone),
        "BOTH": len(both),
        "RECURRENT_ONLY": len(recurrent),
        "GATES": len(order),
        "STATES": len(cell.state),
        "VECTORS": len(cell.vectors),
        "FED": len(fed),
        "SAVED": len(equations.saved),
        "STORED": sum(own),
        "MEMORY": int(cell.memory is not None),
        "ADDITIVE": int(cell.memory is not None and cell.memory.score == "additive"),
    }
    tables = {
        "GATE": [gates.index(name) for name in order],
        "W_ROW": [cell.input_gates.index(name) if name in cell.input_gates else 0 for name in order],
        "R_ROW": [cell.recurrent_gates.index(name) if name in cell.recurrent_gates else 0 for name in order],
        "FED_PART": [cell.state.index(name) for name in fed] or [0],
        "READ": [int(read) for read in reads],
        "STORED_AT": [next(stored) if mine else -1 for mine in own],
    }
    lines = [f"#define {name} {value}" for name, value in constants.items()]
    lines += [f"static const int {name}[] = {{{', '.join(map(str, values))}}};" for name, values in tables.items()]
    return "\n".join([*lines, "", _step(cell, equations, order), "", _adjoint(cell, equations, order), ""])


def print_nodes(equations: Equations) -> tuple[str, list[fx.Node]]:
    """A C function that returns every value of step and adjoint, to find the wrong one.

    Returns:
        `nodes(const real *given, real *made, long count)` for rows of `count` numbers, of the inputs in their order and of the
        nodes; a mask is 1 and 0.
        The nodes in their order.
    """
    known = {node: f"given{index}" for index, node in enumerate(equations.inputs.values())}
    body = [f"const V {name} = load(given + {index} * count + at, LANES);" for index, name in enumerate(known.values())]
    nodes = equations.needed(equations.outputs.values(), set(known))
    body += body_of(C, nodes, known)
    reals = [f"choose({known[node]}, all(1), all(0))" if is_mask(node) else known[node] for node in nodes]
    body += [f"store(made + {index} * count + at, {name}, LANES);" for index, name in enumerate(reals)]
    lines = "\n".join(f"    {line}" for line in body)
    loop = f"  for (long at = 0; at < count; at += LANES) {{\n{lines}\n  }}\n"
    return f"void nodes(const real *given, real *made, long count) {{\n{loop}}}\n", nodes


def _step(cell: Cell, equations: Equations, order: list[str]) -> str:
    known = _names(equations, {"a": order, "s": cell.state, "p": cell.vectors})
    results = [equations.outputs["s", name] for name in cell.state]
    body = body_of(C, equations.needed([*results, *equations.saved], set(known)), known)
    body += [f"after[{index}] = {known[node]};" for index, node in enumerate(results)]
    body += [f"kept[{index}] = {known[node]};" for index, node in enumerate(equations.saved)]
    return _function("step", "const V *a, const V *s, const V *p, V *after, V *kept", body)


def _adjoint(cell: Cell, equations: Equations, order: list[str]) -> str:
    known = _names(equations, {"s": cell.state, "p": cell.vectors, "ds": cell.state})
    known |= {node: f"kept[{index}]" for index, node in enumerate(equations.saved)}
    groups = {"da": order, "ds": cell.state, "dp": cell.vectors}
    results = {kind: [equations.outputs[kind, name] for name in names] for kind, names in groups.items()}
    body = body_of(C, equations.needed([node for group in results.values() for node in group], set(known)), known)
    targets = {"da": "da", "ds": "earlier", "dp": "dp"}
    body += [f"{targets[kind]}[{index}] = {known[node]};" for kind, nodes in results.items() for index, node in enumerate(nodes)]
    return _function("adjoint", "const V *kept, const V *s, const V *p, const V *ds, V *da, V *earlier, V *dp", body)


def _names(equations: Equations, groups: Mapping[str, Iterable[str]]) -> dict[fx.Node, str]:
    return {equations.inputs[kind, name]: f"{kind}[{index}]" for kind, names in groups.items() for index, name in enumerate(names)}


def _function(name: str, arguments: str, body: list[str]) -> str:
    return f"INLINE void {name}({arguments}) {{\n" + "".join(f"  {line}\n" for line in body) + "}"
