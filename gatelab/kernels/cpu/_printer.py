"""The printer of a cell's step and adjoint as C."""

import math
from collections.abc import Iterable, Mapping

from torch import fx

from gatelab.cells import Cell, reads_of, values_of
from gatelab.kernels._equations import Equations
from gatelab.kernels._printing import Language, body_of, gate_order, is_mask
from gatelab.kernels.cpu._late import reduction_tables, tables


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
    alone, both, recurrent, late = gate_order(cell)
    order = [*alone, *both, *recurrent, *late]
    fed = cell.fed_back
    multiplied = {*fed, *(name for gate in cell.late for name in reads_of(cell, gate))}
    reads = [name in equations.reads for name in cell.state]
    # The first part of the state need not be stored, because it is the output. Values read from a tape are stored nowhere else.
    own = [
        cell.memory is not None or (index > 0 and (read or name in multiplied))
        for index, (name, read) in enumerate(zip(cell.state, reads, strict=True))
    ]
    stored = iter(range(sum(own)))
    gates = list(cell.gates)
    constants = {
        "INPUT_ONLY": len(alone),
        "BOTH": len(both),
        "RECURRENT_ONLY": len(recurrent),
        "GATES": len(order),
        "GIVEN": len(cell.given),
        "STATES": len(cell.state),
        "OUTPUTS": len(cell.outputs),
        "VECTORS": len(cell.vectors),
        "FED": len(fed),
        "SAVED": len(equations.saved),
        "STORED": sum(own),
        "MEMORY": int(cell.memory is not None),
        "ADDITIVE": int(cell.memory is not None and cell.memory.score == "additive"),
    }
    places = {
        "GATE": [gates.index(name) for name in order],
        "W_ROW": [cell.input_gates.index(name) if name in cell.input_gates else 0 for name in order],
        "R_ROW": [cell.recurrent_gates.index(name) if name in cell.recurrent_gates else 0 for name in order],
        "FED_PART": [cell.state.index(name) for name in fed] or [0],
        "OUTPUT_PART": [cell.state.index(name) for name in cell.outputs],
        "READ": [int(read) for read in reads],
        "STORED_AT": [next(stored) if mine else -1 for mine in own],
    }
    for more, rows in (tables(cell, equations, order), reduction_tables(equations)):
        constants, places = constants | more, places | rows
    lines = [f"#define {name} {value}" for name, value in constants.items()]
    lines += [f"static const int {name}[] = {{{', '.join(map(str, values))}}};" for name, values in places.items()]
    functions = (_before, _step, _late_adjoint, _adjoint)
    return "\n".join([*lines, *(line for of in functions for line in ("", of(cell, equations, order))), ""])


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


def _before(cell: Cell, equations: Equations, order: list[str]) -> str:
    """The values and arguments of reductions of a stage, and what the step keeps and is known then; earlier ones are in `kept`."""
    body: list[str] = []
    places = _places(cell, equations)
    for stage in range(1, equations.stages + 1):
        known = _given_forwards(cell, equations, order, stage)
        results = {place: equations.outputs[key] for key, place in places.items() if equations.stage[key] == stage}
        made = {index: node for index, node in enumerate(equations.saved) if equations.known_at[index] == stage}
        lines = body_of(C, equations.needed([*results.values(), *made.values()], set(known)), known)
        lines += [f"values[{index}] = {known[node]};" for index, node in results.items()]
        lines += [f"kept[{index}] = {known[node]};" for index, node in made.items()]
        body += [f"if (stage == {stage}) {{", *(f"  {line}" for line in lines), "}"]
    return _function("before", "const int stage, const V *a, const V *s, const V *p, V *kept, V *values", body)


def _places(cell: Cell, equations: Equations) -> dict[tuple[str, str], int]:
    """Where late products and reductions find what they read: the values, and behind them the arguments of reductions."""
    numbers = map(str, range(len(equations.reductions)))
    return {key: index for index, key in enumerate([*(("v", name) for name in values_of(cell)), *(("q", of) for of in numbers)])}


def _given_forwards(cell: Cell, equations: Equations, order: list[str], stage: int) -> dict[fx.Node, str]:
    """What a stage is given; the results of reductions stand behind the pre-activations and masks."""
    before = (*order, *cell.given)
    known = _names(equations, {"a": before, "s": cell.state, "p": cell.vectors})
    known |= _results(equations, "a", len(before))
    return known | _kept(equations, stage)


def _results(equations: Equations, array: str, first: int) -> dict[fx.Node, str]:
    numbers = range(len(equations.reductions))
    return {equations.inputs["r", str(number)]: f"{array}[{first + number}]" for number in numbers}


def _kept(equations: Equations, stage: int) -> dict[fx.Node, str]:
    """What was computed before a stage."""
    return {node: f"kept[{index}]" for index, node in enumerate(equations.saved) if equations.known_at[index] < stage}


def _step(cell: Cell, equations: Equations, order: list[str]) -> str:
    last = equations.stages + 1
    known = _given_forwards(cell, equations, order, last)
    results = [equations.outputs["s", name] for name in cell.state]
    body = body_of(C, equations.needed([*results, *equations.saved], set(known)), known)
    body += [f"after[{index}] = {known[node]};" for index, node in enumerate(results)]
    made = [(index, node) for index, node in enumerate(equations.saved) if equations.known_at[index] == last]
    body += [f"kept[{index}] = {known[node]};" for index, node in made]
    return _function("step", "const V *a, const V *s, const V *p, V *after, V *kept", body)


def _late_adjoint(cell: Cell, equations: Equations, order: list[str]) -> str:
    """The cotangents of pre-activations and results of reductions that a stage has left, from those of what is computed later."""
    body: list[str] = []
    numbers = [number for number, name in enumerate(equations.reductions) if name != "largest"]  # a constant for derivatives
    for stage in range(equations.stages, 0, -1):
        known = _given_backwards(cell, equations)
        results = {place: equations.outputs["da", gate] for place, gate in enumerate(order) if equations.stage["a", gate] == stage}
        results |= {
            len(order) + number: equations.outputs["dr", str(number)]
            for number in numbers
            if equations.stage["q", str(number)] == stage
        }
        lines = body_of(C, equations.needed(results.values(), set(known)), known)
        lines += [f"da[{index}] = {known[node]};" for index, node in results.items()]
        body += [f"if (stage == {stage}) {{", *(f"  {line}" for line in lines), "}"]
    arguments = "const int stage, const V *kept, const V *s, const V *p, const V *ds, const V *dv, V *da"
    return _function("late_adjoint", arguments, body)


def _given_backwards(cell: Cell, equations: Equations) -> dict[fx.Node, str]:
    """What the adjoint is given; the results of reductions stand behind what is kept."""
    known = _names(equations, {"s": cell.state, "p": cell.vectors, "ds": cell.state})
    known |= {equations.inputs["d" + kind, name]: f"dv[{place}]" for (kind, name), place in _places(cell, equations).items()}
    known |= _results(equations, "kept", len(equations.saved))
    return known | _kept(equations, equations.stages + 2)


def _adjoint(cell: Cell, equations: Equations, order: list[str]) -> str:
    """All other cotangents, and the values again that late products read."""
    known = _given_backwards(cell, equations)
    first = [(place, gate) for place, gate in enumerate(order) if equations.stage["a", gate] == 0]
    results = {f"da[{place}]": equations.outputs["da", gate] for place, gate in first}
    groups = {"earlier": ("ds", cell.state), "dp": ("dp", cell.vectors), "values": ("v", values_of(cell))}
    for target, (kind, names) in groups.items():
        results |= {f"{target}[{index}]": equations.outputs[kind, name] for index, name in enumerate(names)}
    body = body_of(C, equations.needed(results.values(), set(known)), known)
    body += [f"{target} = {known[node]};" for target, node in results.items()]
    arguments = "const V *kept, const V *s, const V *p, const V *ds, const V *dv, V *da, V *earlier, V *dp, V *values"
    return _function("adjoint", arguments, body)


def _names(equations: Equations, groups: Mapping[str, Iterable[str]]) -> dict[fx.Node, str]:
    return {equations.inputs[kind, name]: f"{kind}[{index}]" for kind, names in groups.items() for index, name in enumerate(names)}


def _function(name: str, arguments: str, body: list[str]) -> str:
    return f"INLINE void {name}({arguments}) {{\n" + "".join(f"  {line}\n" for line in body) + "}"
