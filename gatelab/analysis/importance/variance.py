"""Shares of the variance of a score over a search: fANOVA, by Optuna's random forest, on what was drawn as it was drawn."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gatelab.analysis.reading.option_values import flat
from gatelab.errors import UserError
from gatelab.runs import Run

LEAST = 4  # runs, below which no forest can be fitted
TREES = 64  # Optuna's own default
TREES_RESAMPLED = 16  # of each resample: their noise adds to an interval a little, and they are four times as fast

Value = float | str

_INTERVAL = re.compile(r"interval\(\s*(?:start\s*=\s*)?([^\s,()]+)\s*,\s*(?:end\s*=\s*)?([^\s,()]+)\s*\)")


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
    if len(runs) < LEAST:
        raise UserError(f"Variance shares need at least {LEAST} trials, and there are {len(runs)}")
    rows = [drawn(run, search) for run in runs]
    return shares_of(rows, scores_or_chance(runs), ranges_of(rows, search), seed, TREES)


def drawn(run: Run, search: Mapping[str, str]) -> dict[str, Value]:
    """The options of a run, each on the line on which it was drawn."""
    plain = flat(run.config)
    return {option: _as_drawn(plain.get(option) or plain[f"{option}.name"], text) for option, text in search.items()}


def _as_drawn(text: str, domain: str) -> Value:
    """The value on the line on which it was drawn uniformly; the domain is written as for a search. A choice stays text."""
    if "interval" not in domain:
        return text
    value = float(text)
    if "one_minus" in domain:
        value = 1 - value
    if _whole(domain):
        value += 0.5  # a whole number k is drawn wherever the line is between k and k + 1
    return math.log(value) if "log" in domain else value


def _ends(domain: str) -> tuple[float, float] | None:
    """The interval of a domain on the line on which it is uniform; of several intervals what holds them; None if there is none."""
    ends = [(float(low), float(high) + _whole(domain)) for low, high in _INTERVAL.findall(domain)]
    if not ends:
        return None
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    return (math.log(low), math.log(high)) if "log" in domain else (low, high)


def _whole(domain: str) -> bool:
    """Whether whole numbers are drawn: both ends are whole numbers, as written or by int(...)."""
    ends = [end for pair in _INTERVAL.findall(domain) for end in pair]
    return "float(" not in domain and ("int(" in domain or all(re.fullmatch(r"[+-]?\d+", end) for end in ends))


def ranges_of(rows: Sequence[Mapping[str, Value]], search: Mapping[str, str]) -> dict[str, Any]:
    """Optuna's distributions over the domains that were declared, on the lines on which they are uniform.

    What was observed widens them where it lies outside: by rounding, or since a run of the sweep was given its value.

    Raises:
        UserError: optuna is not installed.
    """
    try:
        from optuna.distributions import CategoricalDistribution, FloatDistribution
    except ImportError as error:
        raise UserError("Variance shares need the package optuna: pip install 'gatelab[optuna]'") from error
    ranges: dict[str, Any] = {}
    for option in search:
        values: list[Any] = [row[option] for row in rows]
        ends = _ends(search[option])
        if ends is None:
            ranges[option] = CategoricalDistribution(sorted({*values, *_choices(search[option], values)}))
        else:
            ranges[option] = FloatDistribution(min(ends[0], *values), max(ends[1], *values))
    return ranges


def _choices(domain: str, values: Sequence[str]) -> list[str]:
    """The declared values of a choice, also those that no run has; none if runs spell them in another way."""
    declared = [item.strip() for text in re.findall(r"choice\(([^()]*)\)", domain) for item in text.split(",")]
    return declared if set(values) <= set(declared) else []


def shares_of(
    rows: Sequence[Mapping[str, Value]], scores: Sequence[float], ranges: Mapping[str, Any], seed: int, trees: int
) -> dict[str, float]:
    """fANOVA, as Optuna has it; nan if all scores are the same."""
    import optuna
    from optuna.importance import FanovaImportanceEvaluator

    if len(set(scores)) == 1:
        return dict.fromkeys(ranges, math.nan)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="minimize")
    study.add_trials(
        [
            optuna.trial.create_trial(params=dict(row), distributions=dict(ranges), value=score)
            for row, score in zip(rows, scores, strict=True)
        ]
    )
    found = FanovaImportanceEvaluator(n_trees=trees, seed=seed).evaluate(study)
    return {option: float(found[option]) for option in ranges}


def scores_or_chance(runs: Sequence[Run]) -> list[float]:
    """The validation score of each run; chance where that is better, or the run diverged."""
    summaries = [None if run.diverged else run.summary() for run in runs]
    known = next((summary for summary in summaries if summary is not None), None)
    if known is None:
        return [math.nan]
    chance, better = float(known["chance"]), max if known["higher_is_better"] else min
    return [chance if one is None else better(chance, float(one["val"][one["metric"]])) for one in summaries]
