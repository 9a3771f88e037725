"""Numbers that claims are about, taken from the records of one run each.

```
test nll                      the score of the test set (or `val nll`: at the best validation)
test nll / chance             that score as a share of the chance level of the task, whatever the length of its sequences
last state/0/c/norm           the last record of a metric; also: first, max, min
steps val/mse < 0.01          optimiser steps until a metric is first below a level (or > above); the length of the run if never
share optimizer.lr            of a search: the share of the variance of the validation score that an option explains (fANOVA)
lead optimizer.lr             that share, less the largest share of another option: above 0 if it is the largest
share interactions            what no option explains by itself: 1 less the sum of all shares
log ...                       the natural logarithm of a number of one run: differences of it are ratios
```

Of a run that diverged no number is known: nan.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gatelab.analysis.groups import flat
from gatelab.registry import UserError, unknown
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
            value = _steps(run, parts[0], parts[1] == "<", float(parts[2]))
        case _:
            raise UserError(f"'{text}' is not of a single run")
    return (math.log(value) if value > 0 else math.nan) if logarithm else value


def of_variance(text: str, shares: Mapping[str, float]) -> float:
    """A quantity of a search, from the `variance_shares` of an arm."""
    _, _, (form, option) = _parse(text)
    if option == _INTERACTIONS:
        return 1 - sum(shares.values())
    return shares[option] - (max(value for key, value in shares.items() if key != option) if form == "lead" else 0.0)


def variance_shares(runs: Sequence[Run], search: Mapping[str, str], seed: int = 0) -> dict[str, float]:
    """The share of the variance of the validation score over a search that each option explains by itself.

    fANOVA: a random forest is fitted to the scores, and the variance of its marginals is decomposed exactly (Hutter, Hoos &
    Leyton-Brown 2014, ICML). What interactions explain is in no single share. A score worse than chance counts as chance, and so
    does a run that diverged: how far off it is says nothing, and would be most of the variance.

    Args:
        runs: the trials of one arm.
        search: option to interval, all that were searched over. The variance is over the distribution drawn from: an option drawn
            log-uniformly counts by its logarithm. (Optuna by itself integrates over the option as it is.)
        seed: of the forest.

    Returns:
        By option; nan if all scores are the same.

    Raises:
        UserError: optuna is not installed, or there are too few trials.
    """
    try:
        import optuna
        from optuna.importance import FanovaImportanceEvaluator
    except ImportError as error:
        raise UserError("Variance shares need optuna and scikit-learn: pip install 'gatelab[papers]'") from error
    if len(runs) < 4:
        raise UserError(f"Variance shares need at least 4 trials, and there are {len(runs)}")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows: list[dict[str, float | str]] = []
    for run in runs:
        plain = flat(run.config)
        rows.append({option: _as_drawn(plain.get(option) or plain[f"{option}.name"], text) for option, text in search.items()})
    scores = _scores_or_chance(runs)
    if len(set(scores)) == 1:
        return dict.fromkeys(search, math.nan)
    study = optuna.create_study(direction="minimize")
    ranges: dict[str, Any] = {}
    for option in search:
        values: list[Any] = [row[option] for row in rows]
        if isinstance(values[0], float):
            ranges[option] = optuna.distributions.FloatDistribution(min(values), max(values))
        else:
            ranges[option] = optuna.distributions.CategoricalDistribution(sorted(set(values)))
    for row, score in zip(rows, scores, strict=True):
        study.add_trial(optuna.trial.create_trial(params=row, distributions=ranges, value=score))
    return {option: float(share) for option, share in FanovaImportanceEvaluator(seed=seed).evaluate(study).items()}


def _scores_or_chance(runs: Sequence[Run]) -> list[float]:
    """The validation score of each run; chance where that is better, or the run diverged."""
    summaries = [None if run.diverged else run.summary() for run in runs]
    known = next((summary for summary in summaries if summary is not None), None)
    if known is None:
        return [math.nan]
    chance, better = float(known["chance"]), max if known["higher_is_better"] else min
    return [chance if one is None else better(chance, float(one["val"][one["metric"]])) for one in summaries]


def _as_drawn(text: str, domain: str) -> float | str:
    """The value on the line on which it was drawn uniformly; the domain is written as for a search. A choice stays text."""
    if "interval" not in domain:
        return text
    value = float(text)
    if "one_minus" in domain:
        value = 1 - value
    return math.log(value) if "log" in domain else value


def _steps(run: Run, key: str, below: bool, level: float) -> float:
    steps, values = run.metrics().get(key, ([], []))
    reached = (step for step, value in zip(steps, values, strict=True) if (value < level if below else value > level))
    # A run that never gets there took at least as long as it lasted: the difference to one that does is underestimated.
    return float(next(reached, run.config["trainer"]["max_steps"]))


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
