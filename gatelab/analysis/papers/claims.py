"""Claims of papers and what runs say of them: a small closed set of comparisons, each with a p-value for and one against it."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from gatelab.analysis.statistics.families import holm
from gatelab.analysis.statistics.intervals import Interval
from gatelab.analysis.statistics.one_sided import Location, Median, MedianTime, Share, ShareDifference, Shift, StudentT, TimeRatio
from gatelab.analysis.statistics.selection import Selected, Trials
from gatelab.analysis.statistics.sequential import spent
from gatelab.analysis.statistics.survival import Times

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"
Decision = Literal["holds", "does not hold", "undecided"]
# One-sided: a claim that is not true holds in one of forty cases at most, and one that is true fails in one of forty.
ALPHA = 0.025
# How the values of an arm scatter: anyhow (medians and ranks), around one place (means), as 0 and 1 (shares), as times to solve; or
# they are those of the best trials of a search, which no sample of independent runs is.
Kind = Literal["any", "single", "share", "time", "best"]


class Arm(NamedTuple):
    """The runs of one arm.

    Attributes:
        values: (n,), the quantity of each run; of the kind "share" 0 or 1, of "time" the time until it solved the task or ended.
        solved: (n,), of the kind "time" whether it solved the task.
    """

    values: Sequence[float]
    solved: Sequence[bool] = ()


@dataclass(frozen=True)
class Verdict:
    """What runs say of a claim.

    Attributes:
        decision: "holds", "does not hold" or "undecided".
        figure: what decided, with its 95% interval: an advantage, a place or a share; of several steps the one that decides.
        n: runs of each arm, in the order of the arms.
        least: the smallest p that as many runs can give.
        p_holds: the p-value of the claim's opposite: small if the claim holds; `p_fails`: that of the claim.
        note: why nothing could be decided, or "".
    """

    decision: Decision
    figure: Interval
    n: tuple[int, ...]
    p_holds: float = 1.0
    p_fails: float = 1.0
    least: float = 0.0
    note: str = ""


class Evidence(NamedTuple):
    """What one step of a claim rests on, with the two p-values as in `Verdict`."""

    location: Location
    p_holds: float
    p_fails: float


class Places(Protocol):
    """Makes what a comparison is about from the arms of a claim."""

    def place(self, arm: Any) -> Location:
        """The place of one arm."""
        ...

    def advantage(self, first: Any, second: Any) -> Location:
        """How much better the first arm is."""
        ...


def better(places: Places, arms: Sequence[Any], margin: float) -> list[Evidence]:
    """The first arm is better than the second by more than the margin. It does not hold if it is better by less.

    The margin of times is a factor: the second arm takes more than `margin` times as long.
    """
    found = places.advantage(*arms)
    return [Evidence(found, found.p_above(margin), found.p_below(margin))]


def not_worse(places: Places, arms: Sequence[Any], margin: float) -> list[Evidence]:
    """The first arm is not worse than the second by more than the margin."""
    found = places.advantage(*arms)
    return [Evidence(found, found.p_above(-margin), found.p_below(-margin))]


def different(places: Places, arms: Sequence[Any], margin: float) -> list[Evidence]:
    """The arms differ by more than the margin, in whatever direction. It does not hold if they are within it on both sides."""
    found = places.advantage(*arms)
    apart = min(1.0, 2 * min(found.p_above(margin), found.p_below(-margin)))
    return [Evidence(found, apart, max(found.p_below(margin), found.p_above(-margin)))]


def above(places: Places, arms: Sequence[Any], margin: float) -> list[Evidence]:
    """Every arm lies above the level `margin`, whatever direction is better."""
    return [Evidence(found, found.p_above(margin), found.p_below(margin)) for found in map(places.place, arms)]


def below(places: Places, arms: Sequence[Any], margin: float) -> list[Evidence]:
    """Every arm lies below the level `margin`, whatever direction is better."""
    return [Evidence(found, found.p_below(margin), found.p_above(margin)) for found in map(places.place, arms)]


def ordered(places: Places, arms: Sequence[Any], margin: float) -> list[Evidence]:
    """Every arm is better than the next by more than the margin."""
    return [step for pair in itertools.pairwise(arms) for step in better(places, pair, margin)]


ClaimTest = Callable[[Places, Sequence[Any], float], list[Evidence]]
# By the word that a paper's claims use: the comparison, and how many arms it takes at least and at most (None: any number).
COMPARISONS: dict[str, tuple[ClaimTest, int, int | None]] = {
    "better": (better, 2, 2),
    "not_worse": (not_worse, 2, 2),
    "different": (different, 2, 2),
    "above": (above, 1, None),
    "below": (below, 1, None),
    "order": (ordered, 2, None),
}


def judge(comparison: str, arms: Sequence[Arm], kind: Kind, higher_is_better: bool, margin: float) -> Verdict:
    """The p-values of one claim; `decide` turns those of a family of claims into decisions.

    A claim of several steps holds if all do: the largest p of them counts, unadjusted (intersection-union test). It does not hold
    if one does not: the smallest counts, times their number.

    Args:
        comparison: a key of `COMPARISONS`.
        arms: in the order of the claim.
        kind: how values scatter, and with it the method: "any" exact sign and rank tests for medians and shifts, "single" Student's
            t for means, "share" exact binomial tests, "time" the exact log-rank test for ratios of times and the sign test for a
            median time. Not "best".
        higher_is_better: the direction of the quantity.
        margin: in the unit of the quantity; of a level the level, of times a factor.

    Returns:
        The verdict, undecided so far.

    References:
        R. L. Berger, "Multiparameter hypothesis testing and acceptance sampling", Technometrics 24, 1982 (intersection-union).
    """
    n = tuple(len(arm.values) for arm in arms)
    broken = sum(not math.isfinite(value) for arm in arms for value in arm.values)
    if broken:
        note = f"{broken} {'run has' if broken == 1 else 'runs have'} no finite value"
        return Verdict(UNDECIDED, Interval(math.nan, None, None), n, note=note)
    return _verdict(evidence(comparison, arms, kind, higher_is_better, margin), n, math.exp if _ratio(comparison, kind) else float)


def evidence(comparison: str, arms: Sequence[Arm], kind: Kind, higher_is_better: bool, margin: float) -> list[Evidence]:
    """The steps of a claim, arguments as of `judge`, which puts them together by `combined`."""
    threshold = math.log(margin) if _ratio(comparison, kind) else margin
    return COMPARISONS[comparison][0](_ByKind(kind, higher_is_better), arms, threshold)


def combined(steps: Sequence[Evidence]) -> tuple[float, float]:
    """The p-values of a claim of several steps, as `Verdict.p_holds` and `p_fails`."""
    return max(step.p_holds for step in steps), min(1.0, len(steps) * min(step.p_fails for step in steps))


def _ratio(comparison: str, kind: Kind) -> bool:
    """Whether the margin is a factor: where times of two arms are compared, not one with a level."""
    return kind == "time" and COMPARISONS[comparison][1] > 1


def judge_search(comparison: str, trials: Sequence[Trials], share: float, higher_is_better: bool, margin: float) -> Verdict:
    """The p-values of a claim about the best trials of searches, as `judge`, by a joint bootstrap (`selection.Selected`).

    Args:
        trials: of each arm.
        share: of the trials, the best by validation.
    """
    steps = COMPARISONS[comparison][0](_OfSearch(share, higher_is_better), trials, margin)
    return _verdict(steps, tuple(len(side.test) for side in trials))


def decide(verdicts: Sequence[Verdict], look: int = 1) -> list[Verdict]:
    """Decides a family of claims: p-values adjusted after Holm over the family, compared with what the look may spend.

    Claims that are not true hold, all together, with a probability of at most 0.025 over all looks; the same is true of claims that
    are true and fail.

    Args:
        verdicts: from `judge`, all claims of a paper at a scale.
        look: how often the results were looked at, this time included, see `sequential.spent`.

    Returns:
        The same with their decisions, and with adjusted p-values.
    """
    allowed = ALPHA * spent(look)
    open_ones = [index for index, verdict in enumerate(verdicts) if not verdict.note]
    for_it, against = (holm([getattr(verdicts[index], name) for index in open_ones]) for name in ("p_holds", "p_fails"))
    found = list(verdicts)
    for index, p_holds, p_fails in zip(open_ones, for_it, against, strict=True):
        assert p_holds is not None and p_fails is not None
        decision: Decision = HOLDS if p_holds <= allowed else FAILS if p_fails <= allowed else UNDECIDED
        note = "" if decision != UNDECIDED else _why_open(verdicts[index], allowed)
        found[index] = dataclasses.replace(verdicts[index], decision=decision, p_holds=p_holds, p_fails=p_fails, note=note)
    return found


def typical(values: Sequence[float], kind: Kind) -> Interval:
    """Where the values of one arm lie, with its 95% interval: the mean or share, or of "any" and "time" the median.

    The mean of the best trials of a search has no interval from them alone.
    """
    if kind == "best" or len(values) < 2:
        return Interval(float(np.mean(values)), None, None)
    return _ByKind("any" if kind == "time" else kind, True).place(Arm(values)).interval()


class _ByKind(NamedTuple):
    """Places of arms of a kind."""

    kind: Kind
    higher_is_better: bool

    def place(self, arm: Arm) -> Location:
        x = np.asarray(arm.values, dtype=float)
        if self.kind == "time":
            return MedianTime(Times(x, arm.solved))
        return StudentT.of_mean(x) if self.kind == "single" else Share(x) if self.kind == "share" else Median(x)

    def advantage(self, first: Arm, second: Arm) -> Location:
        """How far the first arm is ahead: a difference, or the logarithm of a ratio of times."""
        if self.kind == "time":
            return TimeRatio(*(Times(np.asarray(arm.values, dtype=float), arm.solved) for arm in (first, second)))
        pair = (first, second) if self.higher_is_better else (second, first)
        x, y = (np.asarray(arm.values, dtype=float) for arm in pair)
        if self.kind == "single":
            return StudentT.of_difference(x, y)
        return ShareDifference(x, y) if self.kind == "share" else Shift(x, y)


class _OfSearch(NamedTuple):
    """Places of the best trials of searches."""

    share: float
    higher_is_better: bool

    def place(self, arm: Trials) -> Location:
        return Selected(arm, self.share, higher_is_better=self.higher_is_better)

    def advantage(self, first: Trials, second: Trials) -> Location:
        one, other = (first, second) if self.higher_is_better else (second, first)
        return Selected(one, self.share, other)


def _verdict(steps: Sequence[Evidence], n: tuple[int, ...], shown: Callable[[float], float] = float) -> Verdict:
    """The step that decides: of those that hold the one nearest to failing, else the one that fails most clearly."""
    p_holds, p_fails = combined(steps)
    deciding = min(steps, key=lambda step: step.p_fails) if p_fails <= ALPHA else max(steps, key=lambda step: step.p_holds)
    value, low, high = deciding.location.interval()
    figure = Interval(shown(value), *(None if end is None else shown(end) for end in (low, high)))
    return Verdict(UNDECIDED, figure, n, p_holds, p_fails, max(step.location.least for step in steps))


def _why_open(verdict: Verdict, allowed: float) -> str:
    if min(verdict.n) < 2:
        return "one run decides nothing"
    if verdict.least > allowed:
        return f"so few runs cannot decide it: whatever they score, p is at least {verdict.least:.2g}"
    if min(verdict.p_holds, verdict.p_fails) <= ALPHA:
        return "it would be decided alone, not among all claims and looks together"
    return ""
