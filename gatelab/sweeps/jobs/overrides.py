"""Reads the overrides of a command line, refuses wrong ones in one sentence, and counts the runs that they make."""

import math
import re
from collections.abc import Callable, Collection
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, RangeSweep
from hydra.errors import HydraException

from gatelab.errors import UserError, first_line, unknown
from gatelab.options.bounds import LONGEST, shown
from gatelab.sweeps.jobs.needs import MOST_RUNS

_ENDLESS_NUMBER = re.compile(r"\d{4000}")  # Python itself refuses to read more digits than that


def parse(arguments: list[str]) -> list[Override]:
    """The overrides as Hydra parses them.

    Raises:
        UserError: an override is not of the form key=value.
    """
    for argument in arguments:
        key = argument.partition("=")[0]
        if len(key) > LONGEST:  # Hydra would look for a file of that name
            raise UserError(f"There is no option {shown(key)}; no name has more than {LONGEST} characters.")
        if _ENDLESS_NUMBER.search(argument):
            raise UserError(f"{shown(argument)} holds a number of more than 4,000 digits, which no option takes.")
    try:
        return OverridesParser.create().parse_overrides(arguments)
    except HydraException:
        raise UserError(next(filter(None, map(_unreadable, arguments)))) from None


def _unreadable(argument: str) -> str | None:
    """What is wrong with one override; None if it can be read."""
    try:
        OverridesParser.create().parse_overrides([argument])
    except HydraException as error:
        reason = sentence(error)
    else:
        return None
    how = "Overrides are written key=value, as in `cell=cifg task.length=200 seed=0,1`."
    if not argument.strip():
        return f"One override is empty. {how}"
    if argument.replace("\\'", "").count("'") % 2 or argument.replace('\\"', "").count('"') % 2:
        reason = "a quote is not closed."
    elif any(argument.count(left) != argument.count(right) for left, right in ("()", "[]", "{}")):
        reason = "a bracket is not closed, or closed twice."
    elif "NoViableAlt" in reason or "mismatched input" in reason or reason.startswith("Error parsing"):
        reason = "it is not of the form key=value; values with spaces or special characters need quotes."
    return f"{shown(argument)} cannot be read: {reason} {how}"


def given(overrides: list[Override], key: str, default: Any) -> Any:
    """The overrides of a key."""
    return next((override.value() for override in reversed(overrides) if override.get_key_element().lstrip("+") == key), default)


def count_runs(overrides: list[Override]) -> int:
    """The number of runs that the lists and ranges among the overrides make, without making them.

    Raises:
        UserError: one of them has no value, or together they make too many runs.
    """
    total = 1
    for override in overrides:
        total *= _values_in(override)
    if total > MOST_RUNS:
        raise UserError(f"These are {total:,} runs, but a sweep can have at most {MOST_RUNS:,}. Sweep over fewer values.")
    return total


def _values_in(override: Override) -> int:
    if not override.is_sweep_override():
        return 1
    value, text = override.value(), override.input_line
    if isinstance(value, ChoiceSweep):
        return max(1, len(value.list))
    if not isinstance(value, RangeSweep):  # drawn from
        return 1
    start, stop, step = value.start or 0, value.stop or 0, value.step
    if not all(map(math.isfinite, (start, stop, step))) or not step:
        raise UserError(f"'{text}': a range needs finite numbers and a step that is not 0.")
    count = math.ceil((stop - start) / step)
    if count < 1:
        raise UserError(f"'{text}' has no value, so that there is nothing to train. Give at least one, as in range(5).")
    return count


def sentence(error: BaseException) -> str:
    """The first line of what a library says, as a sentence."""
    line = first_line(error)
    return line if line.endswith(("?", "!")) else f"{line}."


def check_options(overrides: list[Override], options_of: Callable[[str, str], Collection[str] | None]) -> None:
    """Refuses an option that one of the choices lacks, before anything is composed: `task=adding,digits task.length=20`.

    Args:
        overrides: with choices that exist.
        options_of: the options of a choice of a group, `("task", "digits")`; None if the choices of the group are not classes.

    Raises:
        UserError: the message names the choice, its options, and other choices that have the option.
    """
    for override in overrides:
        group, _, rest = override.key_or_group.partition(".")
        option = rest.partition(".")[0]
        lists = [other for other in overrides if other.key_or_group == group]
        if not lists or option in ("", "name"):
            continue
        chosen = lists[-1].sweep_string_iterator() if lists[-1].is_sweep_override() else [lists[-1].value()]
        options = {str(choice): options_of(group, str(choice)) for choice in chosen}
        having = [choice for choice, known in options.items() if known is not None and option in known]
        for choice, known in options.items():
            if known is None or choice in having:
                continue
            hint = f" It is an option of {', '.join(having)}: train {choice} with a separate command." if having else ""
            raise UserError(unknown(f"option of {group} '{choice}'", option, known) + hint)
