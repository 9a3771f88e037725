"""`gatelab diff`: what two cells compute differently, from the equations of their steps."""

import json
from collections.abc import Sequence
from typing import Any

from gatelab.errors import UserError
from gatelab.process.output import say, say_json
from gatelab.sweeps.described import described

# What is compared besides the equations: the fields of a description, and what they are called.
FACTS = {
    "gates": "pre-activations",
    "state": "state",
    "fed_back": "fed back",
    "parameters": "parameters",
    "flops_per_step": "FLOPs a step",
    "pointwise_operators": "pointwise operators",
    "initial_bias": "initial biases",
    "constraint": "constraints",
}


def run(words: Sequence[str], format: str) -> int:
    """Prints the equations and facts of two cells that differ."""
    left, right = (described(named, "diff", ("cell",))[0] for named in _named(words))
    same, changed = _compared(left, right)
    facts = {word: (left[key], right[key]) for key, word in FACTS.items() if left[key] != right[key]}
    names = [_label(one) for one in (left, right)]
    if format == "json":
        changes = [{"name": name, "left": ours, "right": theirs} for name, ours, theirs in changed]
        say_json({"cells": names, "same": same, "changed": changes, "facts": facts})
        return 0
    say(f"- {names[0]}", f"+ {names[1]}", "")
    for name, ours, theirs in changed:
        say(*(f"{sign} {name} = {text}" for sign, text in (("-", ours), ("+", theirs)) if text is not None))
    if not changed:
        say("Their equations are the same.")
    say(*([f"  the same: {', '.join(same)}"] if same and changed else []))
    if facts:
        say("", f"at D={left['example']['D']}, H={left['example']['H']}")
    for word, pair in facts.items():
        say(*(f"{sign} {word}: {_shown(value)}" for sign, value in zip("-+", pair, strict=True)))
    return 0


def _named(words: Sequence[str]) -> list[list[str]]:
    """The words of each of two cells: an option belongs to the cell before it."""
    found: list[list[str]] = []
    for word in words:
        if "=" not in word or word.startswith("cell=") or not found:
            found.append([word])
        else:
            found[-1].append(word)
    if len(found) != 2:
        given = ", ".join(of[0] for of in found) or "none"
        raise UserError(
            f"`gatelab diff` compares two cells, but {len(found)} were given ({given}). An option follows the cell that it belongs "
            "to: gatelab diff cifg cifg cell.peepholes=true"
        )
    return found


def _compared(left: dict[str, Any], right: dict[str, Any]) -> tuple[list[str], list[tuple[str, str | None, str | None]]]:
    """The names of equations that two cells have in common, and those that differ with both right sides; None: it has none."""
    ours, theirs = ({line["name"]: line["text"] for line in one["equations"]} for one in (left, right))
    for one, lines in ((left, ours), (right, theirs)):
        if not lines:
            raise UserError(
                f"The equations of '{one['name']}' cannot be read off its step; its docstring has them (`gatelab explain`)."
            )
    names = [*ours, *(name for name in theirs if name not in ours)]
    same = [name for name in names if ours.get(name) == theirs.get(name)]
    return same, [(name, ours.get(name), theirs.get(name)) for name in names if name not in same]


def _label(cell: dict[str, Any]) -> str:
    """The name of a cell with the options that are not at their default."""
    defaults = {option["name"]: option["default"] for option in cell["options"]}
    values = (f"cell.{name}={json.dumps(value)}" for name, value in cell["values"].items() if defaults.get(name) != value)
    return " ".join([cell["name"], *values])


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(_pair(key, of) for key, of in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(value) or "nothing"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _pair(key: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{key} = {value:g}"
    return f"{key} is {value['text']}" if isinstance(value, dict) else f"{key} ({value})"
