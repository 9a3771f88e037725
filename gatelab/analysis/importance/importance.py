"""Which options of a search mattered: shares of the variance of a score (fANOVA), with intervals and with what they cannot show."""

import itertools
import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gatelab.analysis.importance.errors import determined, with_error
from gatelab.analysis.importance.variance import LEAST, TREES, TREES_RESAMPLED, Value, drawn, ranges_of, scores_or_chance, shares_of
from gatelab.analysis.reading.option_values import OptionValues, flat
from gatelab.analysis.reading.quantities import check_quantity, quantity
from gatelab.analysis.reading.variants import code_and_data
from gatelab.analysis.statistics.budget import Budget, budget
from gatelab.analysis.statistics.intervals import LEVEL, Interval
from gatelab.errors import UserError, unknown
from gatelab.runs import NOT_IDENTITY, Run

RESAMPLES = 100
CORRELATED = 0.3  # from here on a dependence of two options is spoken of, if it is significant
_PERMUTATIONS = 999
_ALPHA = 0.05  # over all pairs of a group


@dataclass(frozen=True)
class Importance:
    """What a search says of one cell on one task.

    Attributes:
        cell, task: their registry names.
        options: what else sets these runs apart from others of the same cell and task, task.length=200; mostly empty.
        metric: what varies, "val mse".
        n: runs; `diverged` of them, which count as chance; `unknown` more were left out, since their number is not known.
        shares: by option, the largest first: the share of the variance that it explains by itself. Its interval holds that of
            a bootstrap over the runs and the measured error of the forest (`errors`); it has no bounds where no error is known.
        interactions: what no option explains by itself.
        budget: the expected best score of so many draws; None for another metric than the validation score, or for few draws.
        search: by option how it was drawn, as it is written for a search.
        correlated: pairs of options that were not drawn independently, with their first canonical correlation, in [0, 1].
        notes: sentences on what the shares rest on; `warnings`: on what speaks against them.
    """

    cell: str
    task: str
    options: OptionValues
    metric: str
    n: int
    diverged: int
    unknown: int
    shares: dict[str, Interval]
    interactions: Interval
    budget: Budget | None
    search: dict[str, str]
    correlated: list[tuple[str, str, float]]
    notes: list[str]
    warnings: list[str]


def importances(
    runs: Iterable[Run],
    search: Mapping[str, Mapping[str, str]],
    metric: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[Importance]:
    """The importance of the options, for every cell on every task.

    Args:
        runs: of searches, in any state and order; only those that finished or diverged count.
        search: name of a sweep to option to domain, as far as it is known what was searched over. Without, whatever varies counts.
        metric: a quantity of one run (see `quantities`); the validation score of the task when None.
        resamples: of the bootstrap over runs; 0: no intervals.
        seed: of the forests and the bootstrap.

    Raises:
        UserError: the metric is not a quantity of a run, or no run has it; nothing was searched over, or there are too few runs.
    """
    if metric is not None:
        check_quantity(metric)
    ended = sorted((run for run in runs if run.outcome == "finished" or run.diverged), key=_order)
    groups = _by_search(ended, search)
    if not groups:
        raise UserError(
            "No option varies among the finished runs of a cell and task. "
            "Search first, as in: gatelab train -m hydra/sweeper=random optimizer.lr='tag(log, interval(1e-4, 1e-1))'."
        )
    labelled = sorted(zip(groups, _apart(groups), strict=True), key=lambda pair: (pair[0].task, pair[0].cell, pair[1]))
    large = [(group, options) for group, options in labelled if len(group.runs) >= LEAST]
    if not large:
        most = max(len(group.runs) for group in groups)
        raise UserError(f"Variance shares need at least {LEAST} finished runs of one cell and task, and there are {most}.")
    return [_importance(group, options, metric, resamples, seed) for group, options in large]


def dependence(a: Sequence[Value], b: Sequence[Value], seed: int = 0) -> tuple[float, float]:
    """How far two options were drawn together: the first canonical correlation of their ranks (of a choice: its indicators).

    For two numbers it is the absolute value of Spearman's rho, for two choices of two values that of phi.

    Args:
        a, b: (n,), the values of two options in the same runs.
        seed: of the permutations.

    Returns:
        The correlation, in [0, 1], and the p of a permutation test of independence.
    """
    x, y = _basis(a), _basis(b)
    if not x.size or not y.size:
        return 0.0, 1.0
    found = float(np.linalg.norm(x.T @ y, 2))
    draws = np.random.default_rng(seed)
    at_least = sum(float(np.linalg.norm(x[draws.permutation(len(x))].T @ y, 2)) >= found - 1e-12 for _ in range(_PERMUTATIONS))
    return min(found, 1.0), (1 + at_least) / (1 + _PERMUTATIONS)


def _basis(values: Sequence[Value]) -> NDArray[np.float64]:
    """An orthonormal basis of what can be said of an option, without the constant, (n, k)."""
    if isinstance(values[0], str):
        kinds = sorted({str(value) for value in values})
        columns = np.array([[float(value == kind) for kind in kinds[1:]] for value in values]).reshape(len(values), -1)
    else:
        columns = stats.rankdata(values)[:, None]
    columns = columns - columns.mean(axis=0)
    left, sizes, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, sizes > 1e-9 * max(1.0, float(sizes.max(initial=0.0)))]


@dataclass(frozen=True)
class _Searched:
    """Runs that differ in nothing but their seeds and what was searched over."""

    cell: str
    task: str
    fixed: OptionValues  # all that the runs share; only code and data where it is not known what was searched over
    runs: list[Run]
    search: dict[str, str]
    known: bool  # whether it is known how the options were drawn
    partly: list[str]  # options that only some of the runs have


def _by_search(runs: Iterable[Run], search: Mapping[str, Mapping[str, str]]) -> list[_Searched]:
    """The runs, apart by all that was not searched over, with the options that vary among them."""
    members: dict[tuple[str, str, bool, OptionValues], list[tuple[Run, dict[str, str]]]] = defaultdict(list)
    for run in runs:
        domains = search.get(str(run.config.get("sweep")), {})
        config = {key: value for key, value in flat(run.config).items() if not _beside(key)}
        fixed = {key: value for key, value in config.items() if not any(_below(key, option) for option in domains)}
        # Where nothing is known of the search, what it varied cannot be told from what it did not.
        shared = code_and_data(run) | (fixed if domains else {})
        members[run.cell, run.task, bool(domains), OptionValues(shared)].append((run, config))
    made = []
    for (cell, task, known, fixed), pairs in members.items():
        configs = [config for _, config in pairs]
        domains = _domains([run for run, _ in pairs], search, _inferred(configs))
        values = {option: [_written(config, option) for config in configs] for option in domains}
        whole = {option: text for option, text in domains.items() if None not in values[option] and len({*values[option]}) > 1}
        partly = [option for option in domains if None in values[option] and any(values[option])]
        if whole:
            runs_here = [run for run, _ in pairs]
            made.append(_Searched(cell, task, fixed, runs_here, whole, known, partly))
    return made


def _order(run: Run) -> tuple[str, str]:
    """By what a run computes, so that nothing depends on the order in which runs are found: forests and resamples do."""
    return json.dumps(run.config, sort_keys=True, default=str), str(run.path)


def _domains(runs: Iterable[Run], search: Mapping[str, Mapping[str, str]], inferred: Mapping[str, str]) -> dict[str, str]:
    """What each option was drawn from, by all sweeps of the runs; where they differ in its scale, by its values."""
    texts: dict[str, set[str]] = defaultdict(set)
    for run in runs:
        for key, text in search.get(str(run.config.get("sweep")), {}).items():
            texts[key].add(text)
    if not texts:
        return dict(inferred)
    found = {}
    for key, every in texts.items():
        same_scale = len({tuple(word in text for word in ("interval", "log", "one_minus")) for text in every}) == 1
        found[key] = " or ".join(sorted(every)) if same_scale else inferred.get(key, min(every))
    return found


def _apart(groups: list[_Searched]) -> list[OptionValues]:
    """For each group what sets it apart from those of the same cell and task."""
    found = []
    for group in groups:
        same = [other.fixed for other in groups if (other.cell, other.task) == (group.cell, group.task)]
        differing = {key: value for key, value in sorted(group.fixed.items()) if len({config.get(key) for config in same}) > 1}
        found.append(OptionValues(differing))
    return found


def _beside(key: str) -> bool:
    """Whether an option decides no result, or is a seed."""
    return key.partition(".")[0] in (*NOT_IDENTITY, "seed", "data_seed", "plugins")


def _below(key: str, option: str) -> bool:
    """Whether a key is an option, or one of the options that come with a choice (optimizer.momentum with optimizer)."""
    return key == option or key.startswith(f"{option}.")


def _written(config: Mapping[str, str], option: str) -> str | None:
    return config.get(option) or config.get(f"{option}.name")


def _inferred(configs: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Domains from values alone: a logarithm where the values lie more evenly on it, a choice where they are not numbers."""
    found = {}
    for key in dict.fromkeys(key for config in configs for key in config):
        values = [config[key] for config in configs if key in config]
        if len({*values}) < 2:
            continue
        try:
            numbers = np.array(values, dtype=float)
        except ValueError:
            found[key.removesuffix(".name")] = f"choice({', '.join(sorted({*values}))})"
            continue
        interval = f"interval({numbers.min():g}, {numbers.max():g})"
        even = numbers.min() > 0 and _unevenness(np.log(numbers)) < _unevenness(numbers)
        found[key] = f"tag(log, {interval})" if even else interval
    return found


def _unevenness(values: NDArray[np.float64]) -> float:
    """Kolmogorov's distance from the uniform distribution between the smallest and the largest value."""
    spread = np.ptp(values)
    return float(stats.kstest((values - values.min()) / spread, "uniform").statistic) if spread else 1.0


def _importance(group: _Searched, options: OptionValues, metric: str | None, resamples: int, seed: int) -> Importance:
    runs, scores, name, unknown_runs = _scored(group.runs, metric)
    if len(runs) < LEAST:
        raise UserError(f"Variance shares need at least {LEAST} runs of {group.cell}, and {name} is known of {len(runs)}.")
    rows = [drawn(run, group.search) for run in runs]
    ranges = ranges_of(rows, group.search)
    shares = shares_of(rows, scores, ranges, seed, TREES)
    shares = dict(sorted(shares.items(), key=lambda item: -item[1]))
    draws = np.random.default_rng(seed)
    again: list[dict[str, float]] = []
    for number in range(resamples if math.isfinite(sum(shares.values())) else 0):
        picked = draws.integers(len(rows), size=len(rows))
        again.append(shares_of([rows[i] for i in picked], [scores[i] for i in picked], ranges, seed + 1 + number, TREES_RESAMPLED))
    correlated = _correlated(rows, [*group.search], seed)
    n, options_drawn = len(runs), len(shares)
    intervals = {
        option: with_error(_interval(share, [one[option] for one in again]), n, options_drawn) for option, share in shares.items()
    }
    rest = _interval(1 - sum(shares.values()), [1 - sum(one.values()) for one in again])
    interactions = with_error(rest, n, options_drawn, interactions=True)
    diverged = sum(run.diverged for run in runs)
    return Importance(
        group.cell,
        group.task,
        options,
        name,
        n,
        diverged,
        unknown_runs,
        intervals,
        interactions,
        _budget(runs, rows, scores, name),
        group.search,
        correlated,
        _notes(group, n, diverged, unknown_runs, name),
        _warnings(n, [*intervals.values(), interactions], correlated),
    )


def _budget(runs: Sequence[Run], rows: Sequence[Mapping[str, Value]], scores: Sequence[float], name: str) -> Budget | None:
    """What so many draws reach; the score of a draw is the mean over its seeds."""
    summary: dict[str, Any] = next((run.summary() for run in runs if not run.diverged), {})
    if name != f"val {summary.get('metric')}":
        return None
    draws: dict[tuple[Value, ...], list[float]] = defaultdict(list)
    for row, score in zip(rows, scores, strict=True):
        draws[tuple(row.values())].append(score)
    means = [float(np.mean(draws[key])) for key in sorted(draws, key=str)]
    return budget(means, bool(summary["higher_is_better"]))


def _scored(runs: Sequence[Run], metric: str | None) -> tuple[list[Run], list[float], str, int]:
    """The runs whose number is known, the numbers, what they are called, and of how many runs there is none.

    Raises:
        UserError: no run has it.
    """
    summary: dict[str, Any] = next((run.summary() for run in runs if not run.diverged), {})
    score = f"val {summary.get('metric', 'score')}"
    if metric is None or " ".join(metric.split()) == score:
        return list(runs), scores_or_chance(runs), score, 0
    values = [quantity(metric, run) for run in runs]
    known = [index for index, value in enumerate(values) if math.isfinite(value)]
    if not known:
        keys = sorted({key for run in runs for key in run.metrics()})
        there = [f"{split} {key}" for split in ("val", "test") for key in summary.get(split, ())]
        raise UserError(unknown("metric", metric, [*there, *(f"last {key}" for key in keys)]))
    return [runs[index] for index in known], [values[index] for index in known], metric, len(runs) - len(known)


def _notes(group: _Searched, n: int, diverged: int, unknown_runs: int, name: str) -> list[str]:
    notes = [f"The shares rest on {n} runs." + (f" {diverged} of them diverged and count as chance." if diverged else "")]
    if unknown_runs:
        notes.append(f"{unknown_runs} more are left out: they have no {name}.")
    if not group.known:
        notes.append("How the options were drawn is not known; it was read off their values.")
    if group.partly:
        notes.append(f"Not all runs have {', '.join(group.partly)}; there is no share of what only some have.")
    return notes


def _warnings(n: int, shares: Sequence[Interval], correlated: Sequence[tuple[str, str, float]]) -> list[str]:
    found = []
    if not all(math.isfinite(share.value) for share in shares):
        found.append("All runs have the same score: nothing varies that could be explained.")
    elif any(map(determined, shares)):
        found.append(
            "The intervals contain the error of the method, as measured on functions of known shares in at most as many runs."
        )
    else:
        found.append(f"{n} runs do not determine any share: more draws extend the same search.")
    if correlated:
        pairs = "; ".join(f"{a} and {b} ({value:.2f})" for a, b, value in correlated)
        found.append(f"Options that were not drawn independently of each other share what they explain: {pairs}.")
    return found


def _correlated(rows: Sequence[Mapping[str, Value]], options: Sequence[str], seed: int) -> list[tuple[str, str, float]]:
    pairs = [*itertools.combinations(options, 2)]
    found = []
    for a, b in pairs:
        value, p = dependence([row[a] for row in rows], [row[b] for row in rows], seed)
        if value >= CORRELATED and p <= max(_ALPHA / len(pairs), 1 / (1 + _PERMUTATIONS)):
            found.append((a, b, value))
    return sorted(found, key=lambda pair: -pair[2])


def _interval(value: float, again: Sequence[float]) -> Interval:
    """A percentile interval, stretched to hold the estimate: a resample has fewer different runs, and its shares a bias."""
    known = [one for one in again if math.isfinite(one)]
    if len(known) < 2:
        return Interval(value, None, None)
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(value, min(value, float(low)), max(value, float(high)))
