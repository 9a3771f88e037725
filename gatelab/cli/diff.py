"""`gatelab diff`: what two cells compute differently, from the equations of their steps."""

from collections.abc import Sequence
from typing import Any

from gatelab.errors import UserError
from gatelab.process.output import say, say_json
from gatelab.sweeps.described import described
from gatelab.sweeps.difference import compared, label


def run(words: Sequence[str], format: str) -> int:
    """Prints the equations and facts of two cells that differ."""
    left, right = (described(named, "diff", ("cell",))[0] for named in _named(words))
    same, changed, facts = compared(left, right)
    names = [label(one) for one in (left, right)]
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
