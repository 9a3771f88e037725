"""What two descriptions of cells do not have in common."""

import json
from typing import Any

from gatelab.errors import UserError

# What is compared besides the equations: the fields of a description, and what they are called.
FACTS = {
    "gates": "pre-activations",
    "state": "state",
    "fed_back": "fed back",
    "parameters": "parameters",
    "flops_per_step": "FLOPs a step",
    "pointwise_operators": "pointwise operators",
    "initial_bias": "initial biases",
    "delay": "delays",
    "fixed": "not learned",
    "constraint": "constraints",
}


Changes = list[tuple[str, str | None, str | None]]
Facts = dict[str, tuple[Any, Any]]


def compared(left: dict[str, Any], right: dict[str, Any]) -> tuple[list[str], Changes, Facts]:
    """What two cells have in common and what they do not.

    Returns:
        The names of equal equations; those that differ with both right sides, None where a cell has none; and other facts that
        differ, by what they are called.
    """
    ours, theirs = ({line["name"]: line["text"] for line in one["equations"]} for one in (left, right))
    for one, lines in ((left, ours), (right, theirs)):
        if not lines:
            raise UserError(
                f"The equations of '{one['name']}' cannot be read off its step; its docstring has them (`gatelab explain`)."
            )
    names = [*ours, *(name for name in theirs if name not in ours)]
    same = [name for name in names if ours.get(name) == theirs.get(name)]
    changed = [(name, ours.get(name), theirs.get(name)) for name in names if name not in same]
    return same, changed, {word: (left[key], right[key]) for key, word in FACTS.items() if left[key] != right[key]}


def label(cell: dict[str, Any]) -> str:
    """The name of a cell with the options that are not at their default."""
    defaults = {option["name"]: option["default"] for option in cell["options"]}
    values = (f"cell.{name}={json.dumps(value)}" for name, value in cell["values"].items() if defaults.get(name) != value)
    return " ".join([cell["name"], *values])
