"""Lines for the terminal and for logs, in which control characters of untrusted text are shown and never obeyed.

Names, labels and error texts of runs come from files that others may have written. An escape sequence in them could rewrite
the screen, and a carriage return could overwrite its line. See `console.py` for what Rich draws.
"""

import json
import logging
import math
import re
import sys
from collections.abc import Mapping
from typing import Any

# All control characters but the tab and the line feed; marks that reverse the order of characters; surrogates,
# which Python puts into file names that are not UTF-8 and which cannot be written to a terminal.
_UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with every character that a terminal would obey escaped: "\\x1b[31m" for the escape sequence of red."""
    return _UNSAFE.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def say(*lines: str, stderr: bool = False) -> None:
    """Prints lines without wrapping them.

    Args:
        lines: without a trailing line break.
        stderr: print to the standard error.
    """
    stream = sys.stderr if stderr else sys.stdout
    for line in lines:
        print(visible(line), file=stream, flush=True)


def say_json(value: Any) -> None:
    """Prints plain containers as JSON; nan and infinity, which it does not have, become null, and paths text."""
    text = json.dumps(without_nan(value), indent=1, allow_nan=False, default=str)
    say(text.replace("\x7f", "\\u007f"))  # the one control character that JSON leaves as it is


def without_nan(value: Any) -> Any:
    """Plain containers, also of arrays, with None in place of nan and infinity."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [without_nan(item) for item in value]
    if hasattr(value, "tolist"):  # of NumPy
        return without_nan(value.tolist())
    return None if isinstance(value, float) and not math.isfinite(value) else value


class LogFormatter(logging.Formatter):
    """Formats a record as `logging.Formatter` does, with every character that a terminal would obey escaped."""

    def format(self, record: logging.LogRecord) -> str:
        """The line or lines of a record."""
        return visible(super().format(record))
