"""Numbers that claims are about, taken from the records of one run each.

```
test nll                      the score of the test set (or `val nll`: at the best validation)
test nll / chance             that score as a share of the chance level of the task, whatever the length of its sequences
last state/0/c/norm           the last record of a metric; also: first, max, min
steps val/mse < 0.01          optimiser steps until a metric is first below a level (or > above); the budget of the run if never
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
}
_INTERACTIONS = "interactions"
_PICK = {"last": lambda values: values[-1], "first": lambda values: values[0], "max": max, "min": min}


def check_quantity(text: str, search: Iterable[str] = ()) -> None:
    """Raises a UserError if a text is not a quantity, or the share of an option that is not searched over."""
    _, form, parts = _parse(text)
    known = (*search, _INTERACTIONS)
    if form == "share" and (parts[1] not in known or parts == ("lead", _INTERACTIONS)):
        raise UserError(unknown("option of the search", parts[1], known[:-1] if parts[0] == "lead" else known))


def of_search(text: str) -> bool:
    """Whether a quantity belongs to all trials of an arm together and not to each of its runs."""
    return _parse(text)[1] == "share"


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
            value = _steps(run, *parts)
        case _:
            raise UserError(f"'{text}' is not of a single run")
    return (math.log(value) if value > 0 else math.nan) if logarithm else value


def of_variance(text: str, shares: Mapping[str, float]) -> float:
    """A quantity of a search, from the `variance.variance_shares` of an arm."""
    _, _, (form, option) = _parse(text)
    if option == _INTERACTIONS:
        return 1 - sum(shares.values())
    return shares[option] - (max(value for key, value in shares.items() if key != option) if form == "lead" else 0.0)


def _steps(run: Run, key: str, sign: str, level: str) -> float:
    compare = operator.lt if sign == "<" else operator.gt
    step = first_step(run, key, lambda value: compare(value, float(level)))
    # A run that never gets there takes at least as long as its budget: the difference to one that does is underestimated.
    return budget(run) if math.isinf(step) else step


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
