"""What differs between variants and their baseline, by how much, and how sure that is: pure functions on arrays.

One policy, whatever the number of seeds. Samples are compared unpaired. Scores that scatter around one value are compared by
Dunnett's test on the scale that their task declares; where nothing is assumed of them, the times at which runs solved the task by
the exact log-rank test, or where these tell nothing, the scores by the exact rank test. All comparisons are one family of tests.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gatelab.analysis.statistics.dunnett import Contrast, contrasts, critical_value
from gatelab.analysis.statistics.effects import hedges_g, probability_of_improvement
from gatelab.analysis.statistics.intervals import LEVEL, Interval, difference_of, quantile
from gatelab.analysis.statistics.inversion import centre, shift, time_ratio
from gatelab.analysis.statistics.means import interval_of, spread_of_pairs
from gatelab.analysis.statistics.permutation import rank_test, signed_rank_test
from gatelab.analysis.statistics.samples import Sample, paired_scores, scores_of
from gatelab.analysis.statistics.scales import LINEAR, Axis
from gatelab.analysis.statistics.shapes import clusters, degenerate
from gatelab.analysis.statistics.survival import Times, log_rank, share_interval
from gatelab.runs import Shape

Pair = tuple[NDArray[np.float64], NDArray[np.float64]]
TIME_RATIO = "time ratio"
FEWEST_TIMES = 6  # runs of each side for an interval of the probability to solve a task earlier: of 5 it covers .90
DUNNETT, RANKS, LOG_RANK, PAIRED, SIGNED_RANKS = "Dunnett", "Mann-Whitney", "log-rank", "paired t", "Wilcoxon"


@dataclass(frozen=True)
class Family:
    """Variants that are compared with one and the same baseline on one task.

    Attributes:
        baseline: what the others are compared with; `variants`: the others.
        higher_is_better: the direction of the score.
        axis: the scale on which scores are compared; `shape`: how they scatter over seeds, both as the task declares them.
        chance, solved: the levels of the task, if they are known.
        until: times to solve are compared in place of scores, up to this time, the budget of all runs; None: scores are compared.
            For a task of any shape, where all times are known until then and neither all runs solve the task nor none.
    """

    baseline: Sample
    variants: Sequence[Sample]
    higher_is_better: bool
    axis: Axis = LINEAR
    shape: Shape = "any"
    chance: float | None = None
    solved: float | None = None
    until: float | None = None

    @property
    def on_time(self) -> bool:
        """Whether times are compared; if they scatter around one value, scores are."""
        return self.until is not None and self.shape == "any"


@dataclass(frozen=True)
class Difference:
    """How a variant differs from a baseline on one task. None stands for what the data do not determine.

    Attributes:
        measure: what `size` is: "difference" or "ratio" of scores, "odds ratio" of shares, or "time ratio" of times to solve.
        on_time: whether times to solve were compared and not scores.
        size: the variant against the baseline, and its interval; `simultaneous`: the same with an interval that holds together with
            those of all other comparisons, and excludes no difference exactly where `better` is not None.
        share: difference of the shares of runs that solve the task; None where scores were compared.
        test: "Dunnett", "Mann-Whitney", "log-rank", on request "paired t" or "Wilcoxon"; "" when there is none (a single seed).
        statistic: t, U, chi^2 or W.
        p: two-sided, of this comparison alone; `p_adjusted`: over all comparisons.
        least: the smallest p that an exact test of these runs can have, however they are divided; 0 of a t test.
        least_adjusted: the same, adjusted like the smallest p of all.
        better: whether the variant is better (True) or worse (False); None when p_adjusted says neither.
        improvement: the probability that a run of the variant beats a run of the baseline.
        effect: Hedges' g on the scale, with the sign of `size`; of Dunnett's comparisons.
        correlation: of the pairs; None where samples were compared unpaired.
        odd: why scores that should scatter around one value were ranked all the same, or "".
        n, baseline_n: seeds of each side; `failures`, `baseline_failures`: how many of them diverged.
    """

    measure: str
    on_time: bool
    size: Interval
    simultaneous: Interval
    share: Interval | None
    test: str
    statistic: float | None
    p: float | None
    p_adjusted: float | None
    least: float
    least_adjusted: float
    better: bool | None
    improvement: Interval
    effect: Interval
    correlation: float | None
    odd: str
    n: int
    baseline_n: int
    failures: int
    baseline_failures: int


def differences(families: Sequence[Family], level: float = LEVEL, paired: bool = False) -> list[list[Difference]]:
    """Compares variants with their baselines, on one task or many; all comparisons together are one family of tests.

    Which test, whatever the numbers of seeds: of `shape` "single" Dunnett's on the scale; by ranks where a sample of the comparison
    has no variance, or where any of the family shows that scores lie in two clusters (`shapes`). Of `shape` "any" the exact
    log-rank test on the times to solve where `on_time`, else the exact Mann-Whitney test on the scores, diverged runs last. Nothing
    is tested with a single seed of a side. With `paired`, Student's t on the differences of equal seeds, or where ranks are called
    for, or of `shape` "any", Wilcoxon's exact test on them.

    p is adjusted in one step, so that the interval of each difference, at the same level, is the set of differences that its test
    does not reject. Within a family that is by Dunnett's distribution, or by the number k of comparisons (Bonferroni); where it has
    both kinds, k_1 of k by Dunnett, their p is multiplied by k / k_1. The result is multiplied by the number of families. An exact
    test that can reach no p below 1 - level, with fewer than four seeds of each side, can make no false finding and is not counted.

    Args:
        families: each with one baseline and its variants.
        level: confidence; a variant counts as different when its adjusted p is below 1 - level.
        paired: compare the runs of equal seeds.

    Returns:
        For each family a difference for each of its variants, in order.

    Raises:
        ValueError: a sample has no scores, or another number of seeds than scores; times are compared that are not known.

    References:
        C. W. Dunnett, JASA 50, 1955. O. J. Dunn, "Multiple comparisons among means", JASA 56, 1961 (Bonferroni). N. Mantel, Cancer
        Chemotherapy Reports 50, 1966. H. B. Mann, D. R. Whitney, Annals of
        Mathematical Statistics 18, 1947. R. E. Tarone, "A modified Bonferroni method for discrete data", Biometrics 46, 1990 (which
        tests need not be counted).
    """
    alpha = 1 - level
    drafts = [tests_of(family, paired) for family in families]
    found = []
    for family, own, levels in zip(families, drafts, _levels(drafts, alpha), strict=True):
        members = zip(family.variants, own, strict=True)
        found.append([_difference(family, sample, draft, levels, paired) for sample, draft in members])
    return found


def adjusted(families: Sequence[Sequence["Draft"]], alpha: float) -> list[list[float | None]]:
    """The p-values of tests that are one family, adjusted as in `differences`; None of tests that do not count."""
    return [[levels.adjusted(draft) for draft in own] for own, levels in zip(families, _levels(families, alpha), strict=True)]


@dataclass(frozen=True)
class Draft:
    """The test of one comparison before the others are known.

    Attributes:
        test, statistic, p, least, odd: as in `Difference`.
        better: which way it points.
        contrast: of Dunnett's test, with `critical`: the seeds of the baseline and those of all variants in the test.
    """

    test: str
    statistic: float | None = None
    p: float | None = None
    least: float = 0.0
    better: bool = False
    contrast: Contrast | None = None
    critical: tuple[int, tuple[int, ...]] | None = None
    odd: str = ""

    def counts(self, alpha: float) -> bool:
        """Whether it can be a finding at all."""
        return self.p is not None and self.least < alpha


def tests_of(family: Family, paired: bool) -> list[Draft]:
    """The tests of a family, whose p-values know nothing of other families; see `differences`."""
    if paired:
        return [_paired(family, sample) for sample in family.variants]
    if family.shape == "any":
        return [_exact(family, sample) for sample in family.variants]
    odd = _oddities(family)
    even = [place for place, words in enumerate(odd) if not words and min(_n(family.variants[place]), _n(family.baseline)) > 1]
    found = {place: _exact(family, family.variants[place], words) for place, words in enumerate(odd) if place not in even}
    if even:
        samples = [family.axis.forward(family.variants[place].scores) for place in even]
        sizes = _n(family.baseline), tuple(x.size for x in samples)
        for place, contrast in zip(even, contrasts(family.axis.forward(family.baseline.scores), samples), strict=True):
            better = (contrast.value > 0) == family.higher_is_better
            found[place] = Draft(DUNNETT, contrast.t, contrast.p, 0.0, better, contrast, sizes)
    return [found[place] for place in range(len(odd))]


def _oddities(family: Family) -> list[str]:
    """Why each comparison of scores that should scatter around one value is by ranks, or ""."""
    scores = [scores_of(sample) for sample in (family.baseline, *family.variants)]
    apart = clusters(scores, family.axis, family.higher_is_better, family.chance, family.solved)
    if apart:
        return [apart] * len(family.variants)
    base, *own = (degenerate(x, family.axis) for x in scores)
    return [f"of the baseline {base}" if base else words for words in own]


def _n(sample: Sample) -> int:
    return len(sample.scores)


def _exact(family: Family, sample: Sample, odd: str = "") -> Draft:
    """The exact test: on times where they are compared, else on ranks."""
    if min(_n(sample), _n(family.baseline)) < 2:
        return Draft("", odd=odd)
    if family.on_time:
        found = log_rank([(_times(sample), _times(family.baseline))])
        return Draft(LOG_RANK, found.chi_square, found.p, found.least, found.observed > found.expected, odd=odd)
    x, y = _ranked(family, sample), _ranked(family, family.baseline)
    found = rank_test(x, y)
    return Draft(RANKS, found.statistic, found.p, found.least, _points(found.statistic - x.size * y.size / 2, family), odd=odd)


def _paired(family: Family, sample: Sample) -> Draft:
    """The test of equal seeds; none where the seeds are not the same."""
    pair = paired_scores(sample, family.baseline)
    if pair is None:
        return Draft("")
    (odd,) = _oddities(dataclasses.replace(family, variants=[sample])) if family.shape == "single" else ("",)
    if family.shape == "single" and not odd:
        spread = spread_of_pairs(*map(family.axis.forward, pair))
        if spread.standard_error:
            return Draft(PAIRED, spread.t, spread.p, 0.0, _points(spread.value, family))
    found = signed_rank_test(_gaps(family, pair))
    return Draft(SIGNED_RANKS, found.statistic, found.p, found.least, _points(found.statistic, family), odd=odd)


def _points(value: float, family: Family) -> bool:
    return (value > 0) == family.higher_is_better


def _gaps(family: Family, pair: Pair) -> NDArray[np.float64]:
    """The differences of pairs on the scale; two failures tie."""
    x, y = (family.axis.ranked(side, family.higher_is_better) for side in pair)
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(x - y, nan=0.0, posinf=math.inf, neginf=-math.inf)


def _ranked(family: Family, sample: Sample) -> NDArray[np.float64]:
    return family.axis.ranked(scores_of(sample), family.higher_is_better)


def _times(sample: Sample) -> Times:
    if sample.times is None:
        raise ValueError("Times to solve cannot be compared: they are not known for every sample.")
    return sample.times


@dataclass(frozen=True)
class _Levels:
    """How sure intervals are: one alone, and all of a family together, with so many of Dunnett's and of other tests that count."""

    alone: float
    family: float
    first: int
    others: int

    def together(self, draft: Draft) -> float | None:
        """The part of alpha of Dunnett's comparisons, or of one other; None of a test that does not count."""
        if draft.contrast is not None:
            return self.family * self.first / (self.first + self.others)
        return self.family / (self.first + self.others) if draft.counts(self.alone) else None

    def adjusted(self, draft: Draft) -> float | None:
        """Its p-value, adjusted; None of a test that does not count."""
        part, p = self.together(draft), draft.p if draft.contrast is None else draft.contrast.p_family
        return None if part is None or p is None else min(1.0, p * self.alone / part)


def _levels(families: Sequence[Sequence[Draft]], alpha: float) -> list[_Levels]:
    """The levels of each family; those without a test that counts take no part of alpha."""
    counted = max(1, sum(any(draft.counts(alpha) for draft in own) for own in families))
    made = []
    for own in families:
        first = sum(draft.contrast is not None for draft in own)
        others = sum(draft.contrast is None and draft.counts(alpha) for draft in own)
        made.append(_Levels(alpha, alpha / counted, first, others))
    return made


def _difference(family: Family, sample: Sample, draft: Draft, levels: _Levels, paired: bool) -> Difference:
    """One comparison with its adjusted p, or with p alone where its test does not count."""
    on_time = family.on_time and not paired
    alpha = levels.together(draft)
    pair = paired_scores(sample, family.baseline) if paired else None
    p = levels.adjusted(draft)
    p = draft.p if p is None else p
    decided = p is not None and p < levels.alone
    size = _size(family, sample, draft, pair, levels.alone, draft.p is not None and draft.p < levels.alone)
    simultaneous = Interval(size.value, None, None)
    if alpha is not None:
        simultaneous = _size(family, sample, draft, pair, alpha, decided, together=True)
    x, y = scores_of(sample), scores_of(family.baseline)
    effect = Interval(math.nan, None, None)
    if draft.contrast is not None:
        effect = hedges_g(family.axis.forward(x), family.axis.forward(y), 1 - levels.alone)
    return Difference(
        measure=TIME_RATIO if on_time else family.axis.compares,
        on_time=on_time,
        size=size,
        simultaneous=simultaneous,
        share=_share(sample, family.baseline, 1 - levels.alone) if on_time else None,
        test=draft.test,
        statistic=draft.statistic,
        p=draft.p,
        p_adjusted=p,
        least=draft.least,
        least_adjusted=draft.least if alpha is None else min(1.0, draft.least * levels.alone / alpha),
        better=draft.better if decided else None,
        improvement=_improvement(family, sample, on_time, 1 - levels.alone),
        effect=effect,
        correlation=None if pair is None else _correlation(family, pair),
        odd=draft.odd,
        n=x.size,
        baseline_n=y.size,
        failures=int((~np.isfinite(x)).sum()),
        baseline_failures=int((~np.isfinite(y)).sum()),
    )


def _size(
    family: Family, sample: Sample, draft: Draft, pair: Pair | None, alpha: float, rejected: bool, together: bool = False
) -> Interval:
    """The difference with an interval of its own, or one that holds together with others at this level.

    Args:
        rejected: whether the test rejects equality, at the same level.
    """
    if pair is not None:
        if draft.test == PAIRED:
            return family.axis.back_difference(interval_of(spread_of_pairs(*map(family.axis.forward, pair)), 1 - alpha))
        return family.axis.back_difference(centre(_gaps(family, pair), alpha, rejected))
    if family.on_time:
        assert family.until is not None, "times are compared"
        return time_ratio(_times(sample), _times(family.baseline), family.until, alpha, rejected)
    contrast = draft.contrast
    if contrast is None:
        x, y = _ranked(family, sample), _ranked(family, family.baseline)
        return family.axis.back_difference(shift(x, y, alpha, rejected))
    assert draft.critical is not None, "Dunnett's comparisons have it"
    times = critical_value(*draft.critical, 1 - alpha) if together else quantile(contrast.degrees, 1 - alpha)
    half = times * contrast.error
    return family.axis.back_difference(Interval(contrast.value, contrast.value - half, contrast.value + half))


def _share(sample: Sample, baseline: Sample, level: float) -> Interval:
    """The difference of the shares of runs that solve the task."""
    solved = [np.asarray(_times(side).solved, dtype=bool) for side in (sample, baseline)]
    return difference_of(*(share_interval(int(flags.sum()), flags.size, level) for flags in solved))


def _improvement(family: Family, sample: Sample, on_time: bool, level: float) -> Interval:
    """The probability to win against the baseline: to solve the task earlier, or to score better."""
    if not on_time:
        return probability_of_improvement(sample.scores, family.baseline.scores, family.higher_is_better, level)
    sides = (_times(side) for side in (sample, family.baseline))
    x, y = (np.where(np.asarray(side.solved, dtype=bool), np.asarray(side.times, dtype=float), math.inf) for side in sides)
    found = probability_of_improvement(x, y, False, level)
    return found if min(x.size, y.size) >= FEWEST_TIMES else Interval(found.value, None, None)


def _correlation(family: Family, pair: Pair) -> float | None:
    x, y = map(family.axis.forward, pair)
    if not (np.isfinite(x).all() and np.isfinite(y).all() and np.ptp(x) > 0 and np.ptp(y) > 0):
        return None
    return float(np.corrcoef(x, y)[0, 1])
