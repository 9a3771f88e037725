"""Operators as C: the one table of what can be printed, and the printer of a cell's step and adjoint."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import fx

from gatelab.cells import Cell
from gatelab.kernels._trace import Equations, Operator

_aten = torch.ops.aten

# Operands by position; how a kwarg enters is in `_call`. V are vectors of reals, M are masks.
OPERATORS: dict[Operator, str] = {
    _aten.add.Tensor: "{0} + {1}",
    _aten.add.Scalar: "{0} + {1}",
    _aten.sub.Tensor: "{0} - {1}",
    _aten.sub.Scalar: "{0} - {1}",
    _aten.rsub.Scalar: "{1} - {0}",
    _aten.rsub.Tensor: "{1} - {0}",
    _aten.mul.Tensor: "{0} * {1}",
    _aten.mul.Scalar: "{0} * {1}",
    _aten.div.Tensor: "{0} / {1}",
    _aten.div.Scalar: "{0} / {1}",
    _aten.neg.default: "-{0}",
    _aten.reciprocal.default: "1 / {0}",
    _aten.abs.default: "magnitude({0})",
    _aten.sign.default: "choose({0} > all(0), all(1), choose({0} < all(0), all(-1), {0}))",
    _aten.sgn.default: "choose({0} > all(0), all(1), choose({0} < all(0), all(-1), {0}))",
    _aten.exp.default: "exp_of({0})",
    _aten.expm1.default: "expm1_of({0})",
    _aten.log.default: "log_of({0})",
    _aten.log1p.default: "log1p_of({0})",
    _aten.sqrt.default: "sqrt_of({0})",
    _aten.rsqrt.default: "1 / sqrt_of({0})",
    _aten.sin.default: "sin_of({0})",
    _aten.cos.default: "cos_of({0})",
    _aten.atan.default: "atan_of({0})",
    _aten.erf.default: "erf_of({0})",
    _aten.pow.Tensor_Scalar: "pow_of({0}, {1})",
    _aten.pow.Tensor_Tensor: "pow_of({0}, {1})",
    _aten.sigmoid.default: "sigmoid_of({0})",
    _aten.sigmoid_backward.default: "{0} * ({1} * (1 - {1}))",
    _aten.tanh.default: "tanh_of({0})",
    _aten.tanh_backward.default: "{0} * (1 - {1} * {1})",
    _aten.relu.default: "choose({0} < all(0), all(0), {0})",
    _aten.threshold_backward.default: "choose({1} <= {2}, all(0), {0})",
    _aten.maximum.default: "maximum_of({0}, {1})",
    _aten.minimum.default: "minimum_of({0}, {1})",
    _aten.clamp_min.default: "choose({0} < {1}, {1}, {0})",
    _aten.clamp_max.default: "choose({0} > {1}, {1}, {0})",
    _aten.clamp.default: "choose({0} < {1}, {1}, choose({0} > {2}, {2}, {0}))",
    _aten.hardtanh.default: "choose({0} < {1}, {1}, choose({0} > {2}, {2}, {0}))",
    _aten.where.self: "choose({0}, {1}, {2})",
    _aten.clone.default: "{0}",
    _aten.detach.default: "{0}",
    _aten.alias.default: "{0}",
    _aten.zeros_like.default: "all(0)",
    _aten.ones_like.default: "all(1)",
    _aten.full_like.default: "{1}",
    _aten.full.default: "{1}",
    _aten.scalar_tensor.default: "{0}",
    _aten.ge.Tensor: "{0} >= {1}",
    _aten.ge.Scalar: "{0} >= {1}",
    _aten.gt.Tensor: "{0} > {1}",
    _aten.gt.Scalar: "{0} > {1}",
    _aten.le.Tensor: "{0} <= {1}",
    _aten.le.Scalar: "{0} <= {1}",
    _aten.lt.Tensor: "{0} < {1}",
    _aten.lt.Scalar: "{0} < {1}",
    _aten.eq.Tensor: "{0} == {1}",
    _aten.eq.Scalar: "{0} == {1}",
    _aten.ne.Tensor: "{0} != {1}",
    _aten.ne.Scalar: "{0} != {1}",
    _aten.logical_and.default: "{0} & {1}",
    _aten.logical_or.default: "{0} | {1}",
    _aten.logical_not.default: "~{0}",
    _aten.bitwise_and.Tensor: "{0} & {1}",
    _aten.bitwise_or.Tensor: "{0} | {1}",
    _aten.bitwise_not.default: "~{0}",
}

# Operands that are masks; a mask anywhere else is taken as 1 and 0.
_MASKS = {
    _aten.where.self: (0,),
    _aten.logical_and.default: (0, 1),
    _aten.logical_or.default: (0, 1),
    _aten.logical_not.default: (0,),
    _aten.bitwise_and.Tensor: (0, 1),
    _aten.bitwise_or.Tensor: (0, 1),
    _aten.bitwise_not.default: (0,),
}
# Operands that may be absent, and what stands for them.
_DEFAULTS: Mapping[Operator, Mapping[int, float]] = {
    _aten.clamp.default: {1: -math.inf, 2: math.inf},
    _aten.hardtanh.default: {1: -1.0, 2: 1.0},
}
_POWERS: Mapping[float, str] = {2.0: "{0} * {0}", 3.0: "{0} * {0} * {0}", 1.0: "{0}", 0.5: "sqrt_of({0})", -1.0: "1 / {0}"}


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
    operator: Any = node.target
    template = OPERATORS[operator]
    if operator is _aten.pow.Tensor_Scalar and float(node.args[1]) in _POWERS:  # type: ignore[arg-type]
        template = _POWERS[float(node.args[1])]  # type: ignore[arg-type]
    masks = _MASKS.get(operator, ())
    arguments = list(node.args)
    for position, default in _DEFAULTS.get(operator, {}).items():
        arguments += [None] * (position + 1 - len(arguments))
        arguments[position] = default if arguments[position] is None else arguments[position]
    operands = [_operand(value, known, position in masks) for position, value in enumerate(arguments)]
    scale: Any = node.kwargs.get("alpha", 1)
    if scale != 1:
        operands[1] = f"({operands[1]} * {_operand(scale, known, False)})"
    return template.format(*operands)


def _operand(value: Any, known: Mapping[fx.Node, str], mask: bool) -> str:
    if isinstance(value, fx.Node):
        name = known[value]
        return f"choose({name}, all(1), all(0))" if _is_mask(value) and not mask else name
    if isinstance(value, bool | int | float):
        number = float(value)
        if math.isnan(number):
            return "all(NAN)"
        if math.isinf(number):
            return "all(INFINITY)" if number > 0 else "all(-INFINITY)"
        return f"all({number!r})"
    return "0"  # a shape or a dtype, which no template reads
