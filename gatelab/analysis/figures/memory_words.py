"""What the figures show of memory, in words.

Each sentence is made by one function of `SENTENCES`, which returns "" where the runs do not bear it out: no sentence is about a
model that has not learnt its task, and none about a difference that the seeds do not show. Sentences compare the best variant of
each cell. All differences that the sentences of a report could name are one family: at most 5% of reports name one that is none.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from gatelab.analysis.comparison.conclusions import listed
from gatelab.analysis.figures import DrawnVariant, Problem, gates_of
from gatelab.analysis.figures import remembering as of
from gatelab.analysis.statistics.intervals import LEVEL, Interval, mean_interval
from gatelab.analysis.statistics.pairs import ahead_of
from gatelab.diagnostics import keys

IN_SHORT = "In short"  # the place at the beginning of a report; the others are chapters of it
RELEVANT = 0.05  # of the range of a gate: a smaller difference is not worth a word, however sure it is


@dataclass(frozen=True)
class _Measured:
    """A number of each seed of a variant, and its median; `shown`: the median where the seeds are cut off to be compared."""

    variant: DrawnVariant
    seeds: list[float]
    shown: float = math.nan

    @property
    def middle(self) -> float:
        return float(np.median(self.seeds))

    @property
    def name(self) -> str:
        return self.variant.row.cell


@dataclass(frozen=True)
class _Lead:
    """A variant that is ahead of others beyond what seeds do."""

    first: _Measured
    behind: list[_Measured]


def _level(problem: Problem) -> float:
    """The confidence that each sentence on a difference needs, so that all of them together have that of `LEVEL` (Bonferroni)."""
    return 1 - (1 - LEVEL) / (len(COMPARING) * problem.together)


def memory_words(problem: Problem, where: str) -> list[str]:
    """The sentences that belong to a place of the report: `IN_SHORT`, or the title of a chapter."""
    return [words for own, make in SENTENCES.values() if own == where and (words := make(problem))]


def not_learnt(problem: Problem) -> str:
    """What is left out because it has not learnt the task."""
    best = [problem.variants[number] for number in problem.one_per_cell]
    if not any(variant.at_chance for variant in best):
        return ""
    if not any(variant.learnt.runs for variant in best):
        return "No run has learnt this task, so the report makes no statement on memory."
    parts = [
        f"{variant.learnt.runs} of {variant.learnt.runs + variant.at_chance} of {variant.row.cell}"
        for variant in best
        if variant.at_chance and variant.learnt.runs
    ]
    parts += [f"none of {variant.row.cell}" for variant in best if variant.is_at_chance]
    return f"Sentences on memory are about the runs that have learnt the task: {listed(parts)}."


def longest_unit(problem: Problem) -> str:
    """Whose longest unit keeps its state longest, or of a single cell how long it does."""
    every = _by_layer(problem, lambda recorded, layer: of.timescales(recorded, layer, of.LONGEST))
    found = [item for item in every if all(0 < value < math.inf for value in item.seeds)]
    if len(found) == 1 and not _others(problem):
        only = found[0]
        return f"The longest unit of {only.name} keeps its state for {of.amount(only.middle)} steps{_through(only.variant)}."
    lead = _lead(problem, found, logarithm=True)
    if lead is None:
        return ""
    steps = f"{of.amount(lead.first.middle)} steps{_through(lead.first.variant)}"
    behind = listed([f"{item.name} ({of.amount(item.middle)})" for item in lead.behind])
    return f"The longest unit of {lead.first.name} keeps its state for {steps}, longer than that of {behind}."


def left_over_the_lag(problem: Problem) -> str:
    """Whose state is kept best over the steps that the task asks for."""
    lag = next((variant.row.about.lag for variant in problem.variants if variant.row.about.lag is not None), None)
    if lag is None:
        return ""
    found = _by_layer(problem, lambda recorded, layer: of.retained(recorded, layer, lag))
    if len(found) == 1 and not _others(problem):
        return (
            f"Over the {lag:.3g} steps that the task asks for, {found[0].name} keeps {of.share_left(found[0].middle)} of its state."
        )
    lead = _lead(problem, found)
    if lead is None or lead.first.middle - max(item.middle for item in lead.behind) < RELEVANT:
        return ""
    kept = (
        f"Over the {lag:.3g} steps that the task asks for, {lead.first.name} keeps {of.share_left(lead.first.middle)} of its state"
    )
    return f"{kept}, more than {listed([f'{item.name} ({of.share_left(item.middle)})' for item in lead.behind])}."


def tape(problem: Problem) -> str:
    """Which cells have another memory than their state, beside a sentence on the state."""
    if not (longest_unit(problem) or left_over_the_lag(problem)):
        return ""
    said = []
    for variant in _learnt(problem):
        if variant.row.about.tape and variant.row.about.window != 1:
            over = "all earlier steps" if variant.row.about.window is None else f"the last {variant.row.about.window} steps"
            said.append(f"{variant.row.cell} also reads its states of {over} back: a memory that no timescale of a gate measures.")
    return " ".join(said)


def gradient(problem: Problem) -> str:
    """How far the gradient of a loss at the end reaches back."""
    every = [variant.learnt for variant in _learnt(problem)]
    layers = of.flow_layers(every, end=True)
    lags = [lag for layer in layers if (lag := of.longest_lag(every, layer)) is not None]
    if not lags:
        return ""
    reach = max(lags)
    found = [
        # What does not halve within the sequence counts as if it did behind it: a lead over it is then not claimed too easily.
        _Measured(item.variant, [min(value, reach + 1) for value in item.seeds], item.middle)
        for item in _by_layer(problem, of.half_lives, layers)
    ]

    def shown(item: _Measured) -> str:
        return of.steps(item.shown) if item.shown <= reach else f"more than {of.amount(reach)}"

    if len(found) == 1 and not _others(problem):
        only = found[0]
        if only.shown > reach:
            return f"The gradient of a loss at the end does not halve within the {of.amount(reach)} steps before it in {only.name}."
        return f"The gradient of a loss at the end takes {shown(only)} steps to halve in {only.name}."
    lead = _lead(problem, [item for item in found if min(item.seeds) > 0], logarithm=True)
    if lead is None:
        return ""
    behind = listed([f"{item.name} ({shown(item)})" for item in lead.behind])
    first = lead.first
    return f"The gradient of a loss at the end takes {shown(first)} steps to halve in {first.name}, longer than in {behind}."


def events(problem: Problem) -> str:
    """The gate that tells the task's events from other steps best, of the best variant."""
    variants = _learnt(problem)
    if not variants:
        return ""
    variant = variants[0]
    finals = variant.learnt.finals
    pairs = {}
    places = gates_of([variant])
    several = len({layer for layer, _ in places}) > 1
    for layer, gate in places:
        there, elsewhere = (finals.get(keys.gate(layer, gate, what), []) for what in ("at_events", "elsewhere"))
        if len(there) == len(elsewhere) > 1:
            pairs[f"{gate} gate" + (f" of layer {layer}" if several else "")] = np.array(there), np.array(elsewhere)
    best = (RELEVANT, "")
    for gate, (there, elsewhere) in pairs.items():
        interval = mean_interval(there - elsewhere, 1 - (1 - _level(problem)) / len(pairs))
        if _excludes_zero(interval):
            words = (
                f"In {variant.row.cell}, the {gate} tells the task's events from other steps: mean {there.mean():.2f} there, "
                f"{elsewhere.mean():.2f} elsewhere."
            )
            best = max(best, (abs(interval.value), words))
    return best[1]


# Those that test a difference.
COMPARING = ("longest unit", "left over the lag", "gradient", "events")
# By name: the place in the report, and what makes the sentence.
SENTENCES: Mapping[str, tuple[str, Callable[[Problem], str]]] = {
    "not learnt": (IN_SHORT, not_learnt),
    "longest unit": (IN_SHORT, longest_unit),
    "left over the lag": (IN_SHORT, left_over_the_lag),
    "tape": (IN_SHORT, tape),
    "gradient": ("Memory and gradients", gradient),
    "events": ("Gates", events),
}


def _learnt(problem: Problem) -> list[DrawnVariant]:
    """The best variant of each cell, where it has learnt."""
    return [problem.variants[number] for number in problem.one_per_cell if problem.variants[number].learnt.runs]


def _others(problem: Problem) -> bool:
    """Whether there are other cells that a sentence on one could be read against."""
    return len(problem.one_per_cell) > 1


def _by_layer(problem: Problem, seeds_of: Callable[..., list[float]], layers: Sequence[str] | None = None) -> list[_Measured]:
    """A number of each seed of every variant, in the layer where it is largest: a variant remembers as long as that does."""
    variants = _learnt(problem)
    layers = of.layers_of(variant.learnt for variant in variants) if layers is None else layers
    found = []
    for variant in variants:
        of_layers = [_Measured(variant, seeds) for layer in layers if (seeds := seeds_of(variant.learnt, layer))]
        if of_layers:
            found.append(max(of_layers, key=lambda item: item.middle))
    return found


def _lead(problem: Problem, found: Sequence[_Measured], logarithm: bool = False) -> _Lead | None:
    """The first, and those that it is ahead of beyond what seeds do; None if of none.

    Args:
        found: one for each cell.
        logarithm: compare logarithms, as suits what is a ratio.
    """
    several = [item for item in found if len(item.seeds) > 1]
    if len(several) < 2:
        return None
    behind = ahead_of([np.log(item.seeds) if logarithm else np.array(item.seeds) for item in several], _level(problem))
    first = max(several, key=lambda item: item.middle)
    return _Lead(first, [several[place] for place in behind]) if behind else None


def _excludes_zero(interval: Interval) -> bool:
    """Whether a difference is more than what seeds do. What is the same in all seeds has no variance, and decides nothing."""
    low, high = interval.low, interval.high
    return low is not None and high is not None and low < high and (low > 0 or high < 0)


def _through(variant: DrawnVariant) -> str:
    return f", through its {variant.row.about.gate} gate" if variant.row.about.gate else ""
