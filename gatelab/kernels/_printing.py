"""What the printers of all languages share: the order of the pre-activations, and the lines of a function."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import fx

from gatelab.cells import Cell, reads_of, stage_of
from gatelab.kernels import _operators
from gatelab.kernels._operators import arguments, expression


class Language(_operators.Constants, Protocol):
    """How a language writes constants and declarations."""

    def declared(self, name: str, mask: bool, value: str) -> str:
        """The line that gives a value a name."""
        ...


def gate_order(cell: Cell) -> tuple[list[str], list[str], list[str], list[str]]:
    """Pre-activations by what their first product reads: the input only, both, the state only, nothing.

    Late ones count by their part W x: with it among the first, without it among the last. They stand behind each other in the order
    in which they are computed, those that read the same side by side.
    """
    kinds: tuple[list[str], list[str], list[str], list[str]] = ([], [], [], [])
    for gate in cell.gates:
        if gate not in cell.late:
            kinds[{None: 1, "recurrent": 2}.get(cell.sources.get(gate), 0)].append(gate)
    stage = stage_of(cell)
    for gate in sorted(cell.late, key=lambda gate: (stage[gate], reads_of(cell, gate))):
        kinds[0 if gate in cell.input_gates else 3].append(gate)
    return kinds


def body_of(language: Language, nodes: Iterable[fx.Node], known: dict[fx.Node, str]) -> list[str]:
    """A declaration for every node; adds their names to what is known."""
    lines = []
    for node in nodes:
        name = f"v{len(known)}_{node.name}"
        lines.append(language.declared(name, is_mask(node), _call(language, node, known)))
        known[node] = name
    return lines


def is_mask(node: fx.Node) -> bool:
    """Whether the values of a node are true or false."""
    return node.meta["val"].dtype == torch.bool


def _call(language: Language, node: fx.Node, known: Mapping[fx.Node, str]) -> str:
    def operand(value: Any, mask: bool) -> str:
        if isinstance(value, fx.Node):
            if is_mask(value) and not mask:
                return f"choose({known[value]}, {language.number(1)}, {language.number(0)})"
            return known[value] if is_mask(value) == mask else f"({known[value]} != {language.number(0)})"
        if value is None:
            return ""
        return language.truth(bool(value)) if mask else language.number(value)

    values = arguments(node.target, node.args, node.kwargs)
    return expression(language, node.target, values, node.meta["val"].dtype, operand)
