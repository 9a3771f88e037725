"""The printer of a cell's step and adjoint as C."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import fx

from gatelab.cells import Cell
from gatelab.kernels._trace import Equations
from gatelab.kernels.cpu._operators import arguments, expression, number, truth


def gate_order(cell: Cell) -> tuple[list[str], list[str], list[str]]:
    """Pre-activations that the input alone feeds, both, the state alone."""
    kinds: tuple[list[str], list[str], list[str]] = ([], [], [])
    for gate in cell.gates:
        kinds[{"input": 0, None: 1, "recurrent": 2}[cell.sources.get(gate)]].append(gate)
    return kinds


def print_equations(cell: Cell, equations: Equations) -> str:
    """The constants of a cell and its functions `step` and `adjoint` as C."""
    alone, both, recurrent = gate_order(cell)
    order = [*alone, *both, *recurrent]
    fed = cell.feedback if both or recurrent else ()
    reads = [name in equations.reads for name in cell.state]
    # The first part of the state need not be stored: it is in the output that the user gets. What was read from a tape is nowhere.
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
    """A C function that puts out every value of step and adjoint, to find which is wrong.

    Returns:
        `nodes(const real *given, real *made, long count)` for rows of `count` numbers, of the inputs in their order and of the
        nodes; a mask is 1 and 0.
        The nodes in their order.
    """
    known = {node: f"given{index}" for index, node in enumerate(equations.inputs.values())}
    body = [f"const V {name} = load(given + {index} * count + at, LANES);" for index, name in enumerate(known.values())]
    nodes = equations.needed(equations.outputs.values(), set(known))
    body += _body(nodes, known)
    reals = [f"choose({known[node]}, all(1), all(0))" if _is_mask(node) else known[node] for node in nodes]
    body += [f"store(made + {index} * count + at, {name}, LANES);" for index, name in enumerate(reals)]
    lines = "\n".join(f"    {line}" for line in body)
    loop = f"  for (long at = 0; at < count; at += LANES) {{\n{lines}\n  }}\n"
    return f"void nodes(const real *given, real *made, long count) {{\n{loop}}}\n", nodes


def _step(cell: Cell, equations: Equations, order: list[str]) -> str:
    known = _names(equations, {"a": order, "s": cell.state, "p": cell.vectors})
    results = [equations.outputs["s", name] for name in cell.state]
    body = _body(equations.needed([*results, *equations.saved], set(known)), known)
    body += [f"after[{index}] = {known[node]};" for index, node in enumerate(results)]
    body += [f"kept[{index}] = {known[node]};" for index, node in enumerate(equations.saved)]
    return _function("step", "const V *a, const V *s, const V *p, V *after, V *kept", body)


def _adjoint(cell: Cell, equations: Equations, order: list[str]) -> str:
    known = _names(equations, {"s": cell.state, "p": cell.vectors, "ds": cell.state})
    known |= {node: f"kept[{index}]" for index, node in enumerate(equations.saved)}
    groups = {"da": order, "ds": cell.state, "dp": cell.vectors}
    results = {kind: [equations.outputs[kind, name] for name in names] for kind, names in groups.items()}
    body = _body(equations.needed([node for group in results.values() for node in group], set(known)), known)
    targets = {"da": "da", "ds": "earlier", "dp": "dp"}
    body += [f"{targets[kind]}[{index}] = {known[node]};" for kind, nodes in results.items() for index, node in enumerate(nodes)]
    return _function("adjoint", "const V *kept, const V *s, const V *p, const V *ds, V *da, V *earlier, V *dp", body)


def _names(equations: Equations, groups: Mapping[str, Iterable[str]]) -> dict[fx.Node, str]:
    return {equations.inputs[kind, name]: f"{kind}[{index}]" for kind, names in groups.items() for index, name in enumerate(names)}


def _function(name: str, arguments: str, body: list[str]) -> str:
    return f"INLINE void {name}({arguments}) {{\n" + "".join(f"  {line}\n" for line in body) + "}"


def _body(nodes: list[fx.Node], known: dict[fx.Node, str]) -> list[str]:
    """A declaration for every node; adds their names to what is known."""
    lines = []
    for node in nodes:
        known_as = f"v{len(known)}_{node.name}"
        lines.append(f"const {'M' if _is_mask(node) else 'V'} {known_as} = {_call(node, known)};")
        known[node] = known_as
    return lines


def _is_mask(node: fx.Node) -> bool:
    return node.meta["val"].dtype == torch.bool


def _call(node: fx.Node, known: Mapping[fx.Node, str]) -> str:
    def operand(value: Any, mask: bool) -> str:
        if isinstance(value, fx.Node):
            if _is_mask(value) and not mask:
                return f"choose({known[value]}, all(1), all(0))"
            return known[value] if _is_mask(value) == mask else f"({known[value]} != all(0))"
        if value is None:
            return ""
        return truth(bool(value)) if mask else number(value)

    values = arguments(node.target, node.args, node.kwargs)
    return expression(node.target, values, node.meta["val"].dtype, operand)
