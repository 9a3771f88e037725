"""Numbers that claims are about, taken from the records of one run each.

```
test nll                      the score of the test set (or `val nll`: at the best validation)
test nll / chance             that score as a share of the chance level of the task, whatever the length of its sequences
last state/0/c/norm           the last record of a metric; also: first, max, min
steps val/mse < 0.01          optimiser steps until a metric is first below a level (or > above); if never, the budget (censored)
whether test recall > 0.9     1 if a number of the run lies above a level (or < below), else 0: for claims about shares of runs
share optimizer.lr            of a search: the share of the variance of the validation score that an option explains (fANOVA)
lead optimizer.lr             that share, less the largest share of another option: above 0 if it is the largest
share interactions            what no option explains by itself: 1 less the sum of all shares
log ...                       the natural logarithm of a number of one run: differences of it are ratios
```

Every number of a run that diverged is nan.
"""

import math
import operator
import re
from collections.abc import Iterable, Mapping

from gatelab.analysis.reading.solving import budget, first_step
from gatelab.errors import UserError, unknown
from gatelab.runs import Run

_FORMS = {
    "score": re.compile(r"(val|test) (\S+)( / chance)?"),
    "record": re.compile(r"(last|first|max|min) (\S+)"),
    "steps": re.compile(r"steps (\S+) ([<>]) ([-+.\de]+)"),
    "share": re.compile(r"(share|lead) (\S+)"),
    "whether": re.compile(r"whether (.+) ([<>]) ([-+.\de]+)"),
}
_RELATIONS = {"<": operator.lt, ">": operator.gt}
INTERACTIONS = "interactions"
_PICK = {"last": lambda values: values[-1], "first": lambda values: values[0], "max": max, "min": min}


def check_quantity(text: str, search: Iterable[str] = ()) -> None:
    """Raises a UserError if a text is not a quantity, or the share of an option that is not searched over."""
    logarithm, form, parts = _parse(text)
    if form == "whether" and (logarithm or _parse(parts[0])[1] not in ("score", "record")):
        raise UserError(
            f"'{text}' is not a quantity. After 'whether' stands a number of one run, as in: whether test recall > 0.9."
        )
    known = (*search, INTERACTIONS)
    if form == "share" and (parts[1] not in known or parts == ("lead", INTERACTIONS)):
        raise UserError(unknown("option of the search", parts[1], known[:-1] if parts[0] == "lead" else known))


def of_search(text: str) -> bool:
    """Whether a quantity belongs to all trials of an arm together and not to each of its runs."""
    return _parse(text)[1] == "share"


def is_time(text: str) -> bool:
    """Whether a quantity is a time to solve, which a run may not have seen the end of; not its logarithm."""
    logarithm, form, _ = _parse(text)
    return form == "steps" and not logarithm


def is_share(text: str) -> bool:
    """Whether a quantity says of each run that something is true (1) or not (0)."""
    return _parse(text)[1] == "whether"


def time_of(text: str, run: Run) -> tuple[float, bool]:
    """When a run got there, and whether it did: if not, the steps that it was given.

    A run that diverged did not get there, whatever it reached before.

    Raises:
        UserError: the text is not a time, or the run cannot be read.
    """
    if not is_time(text):
        raise UserError(f"'{text}' is not a time to solve")
    key, sign, level = _parse(text)[2]
    step = math.inf if run.diverged else _first_step(run, key, sign, level)
    return (step, True) if math.isfinite(step) else (budget(run), False)


def quantity(text: str, run: Run) -> float:
    """The number of one run; nan if it never recorded it.

    Raises:
        UserError: the text is not a quantity of a run, or the run cannot be read.
    """
    logarithm, form, parts = _parse(text)
    if run.diverged:
        return math.nan
    match form:
        case "score":
            summary = run.summary()
            value = float(summary[parts[0]].get(parts[1], math.nan))
            if parts[2]:  # chance is a level of the task's own score and of no other
                value /= summary["chance"] if parts[1] == summary["metric"] else math.nan
        case "record":
            _, values = run.metrics().get(parts[1], ([], []))
            value = _PICK[parts[0]](values) if values else math.nan
        case "steps":
            step = _first_step(run, *parts)
            value = step if math.isfinite(step) else budget(run)
        case "whether":
            inner = quantity(parts[0], run)
            value = float(_RELATIONS[parts[1]](inner, float(parts[2]))) if math.isfinite(inner) else math.nan
        case _:
            raise UserError(f"'{text}' is not of a single run")
    return (math.log(value) if value > 0 else math.nan) if logarithm else value


def of_variance(text: str, shares: Mapping[str, float]) -> tuple[str, str, float]:
    """A quantity of a search: "share" or "lead", the option, and the value, from the `variance.variance_shares` of an arm."""
    _, _, (form, option) = _parse(text)
    if option == INTERACTIONS:
        return form, option, 1 - sum(shares.values())
    others = max(value for key, value in shares.items() if key != option) if form == "lead" else 0.0
    return form, option, shares[option] - others


def _first_step(run: Run, key: str, sign: str, level: str) -> float:
    return first_step(run, key, lambda value: _RELATIONS[sign](value, float(level)))


def _parse(text: str) -> tuple[bool, str, tuple[str, ...]]:
    words = " ".join(text.split())
    logarithm = words.startswith("log ")
    body = words.removeprefix("log ")
    for form, pattern in _FORMS.items():
        found = pattern.fullmatch(body)
        if found and not (logarithm and form == "share"):
            return logarithm, form, found.groups()
    raise UserError(
        f"'{text}' is not a quantity. Quantities are written as in: test nll; last state/0/c/norm; steps val/mse < 0.01."
    )
