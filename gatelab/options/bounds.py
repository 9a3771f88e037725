"""Which values an option accepts, from what its field declares (see `gatelab.options.option`)."""

from collections.abc import Mapping
from typing import Any

LONGEST = 255  # the default maximum length of a text: that of a file name
LARGEST_INT = 2**63 - 1  # the integers of torch and NumPy
LARGEST_FLOAT = 3.4028234663852886e38  # of float32, the number format of models
SHOWN = 60  # the most characters of a value that a message shows


def problem(value: Any, meta: Mapping[str, Any]) -> str | None:
    """The condition that a value does not meet ("be at least 1"); None if it is accepted.

    Args:
        value: the value of an option.
        meta: the metadata of its field.
    """
    if isinstance(value, str):
        return _text_problem(value, meta)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return _number_problem(value, meta)
    return None


def _number_problem(value: float, meta: Mapping[str, Any]) -> str | None:
    for key, word, refused in (
        ("minimum", "at least", lambda bound: not value >= bound),
        ("maximum", "at most", lambda bound: not value <= bound),
        ("above", "greater than", lambda bound: not value > bound),
        ("below", "less than", lambda bound: not value < bound),
    ):
        if key in meta and refused(meta[key]):
            return f"be {word} {meta[key]}"
    if isinstance(value, int) and abs(value) > LARGEST_INT:
        return f"be at most {LARGEST_INT}" if value > 0 else f"be at least -{LARGEST_INT}"
    if meta.get("finite", True) and not abs(value) <= LARGEST_FLOAT:
        return f"be a finite number, of at most {LARGEST_FLOAT:.3g} in size"
    return None


def _text_problem(text: str, meta: Mapping[str, Any]) -> str | None:
    longest = meta.get("longest", LONGEST)
    if not text.strip():
        return "not be empty"
    if len(text) > longest:
        return f"have at most {longest} characters; it has {len(text)}"
    if any(not (character.isprintable() or character in "\n\t") for character in text):
        return "not contain control characters"
    refused = meta.get("without", "")
    if any(character in refused for character in text):
        return f"not contain any of {' '.join(refused)}"
    return None


def shown(value: Any) -> str:
    """A value as a message shows it: its repr, cut off if it is long."""
    if isinstance(value, int) and abs(value) > 10**SHOWN:
        return f"an integer of {len(str(value)) if abs(value) < 10**4000 else 'thousands of'} digits"
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
