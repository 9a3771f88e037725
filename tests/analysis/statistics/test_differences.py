"""The policy of tests: which one is made, what it says, and how p-values and intervals are adjusted."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from gatelab.analysis.statistics.differences import Difference, Family, Sample, differences
from gatelab.analysis.statistics.families import holm
from gatelab.analysis.statistics.permutation import least_p
from gatelab.analysis.statistics.scales import Axis
from gatelab.analysis.statistics.survival import Times, log_rank

A, B = (0.31, 0.28, 0.35, 0.30), (0.20, 0.22, 0.29, 0.21)

ttest: Any = stats.ttest_ind  # SciPy makes the class of its result at run time


def one(variant: Any, baseline: Any, higher_is_better: bool = True, **options: Any) -> Difference:
    """The only comparison of a family; scores may stand for samples."""
    paired = options.pop("paired", False)
    sides = [item if isinstance(item, Sample) else Sample(item) for item in (variant, baseline)]
    ((found,),) = differences([Family(sides[1], [sides[0]], higher_is_better, **options)], paired=paired)
    return found


def solving(*times: float | None) -> Sample:
    """Runs that solve the task at these times, None never within 900 steps; scores go with it."""
    return Sample(
        [1.0 if time is None else time / 1e6 for time in times],
        range(len(times)),
        Times([900 if time is None else time for time in times], [time is not None for time in times]),
    )


@pytest.mark.parametrize("seeds", [(0, 1, 2, 3), (3, 2, 1, 0), (0, 1, 2, 4), ()])
def test_the_test_does_not_depend_on_the_seeds(seeds: tuple[int, ...]):
    found = one(Sample(A, (0, 1, 2, 3)), Sample(B, seeds), higher_is_better=False, shape="single")
    expected = ttest(A, B)
    low, high = expected.confidence_interval(0.95)
    assert found.test == "Dunnett"  # of a single variant it is Student's test
    assert (found.p, found.p_adjusted) == pytest.approx((expected.pvalue, expected.pvalue), rel=1e-8)
    assert found.size == pytest.approx((np.mean(A) - np.mean(B), low, high), rel=1e-8)
    assert found.simultaneous == pytest.approx(found.size, rel=1e-6)
    assert found.better is False


@pytest.mark.parametrize("n", [2, 3, 5, 9])
def test_the_policy_does_not_change_with_the_number_of_seeds(n: int):
    x = np.random.default_rng(n).normal(size=(2, n))
    assert one(x[0], x[1], shape="single").test == "Dunnett"
    assert one(x[0], x[1]).test == "Mann-Whitney"


def test_several_variants_are_dunnetts():
    rng = np.random.default_rng(4)
    baseline, *variants = (rng.normal(shift, 1, 8) for shift in (0.0, 0.5, 1.0, 2.5))
    family = Family(Sample(baseline), [Sample(x) for x in variants], True, shape="single")
    (found,) = differences([family])
    # Where no two samples scatter more than all do together; SciPy's p-values are drawn, to three digits.
    pooled = np.mean([x.var(ddof=1) for x in (baseline, *variants)])
    plain = [item for item, x in zip(found, variants, strict=True) if baseline.var(ddof=1) + x.var(ddof=1) <= 2 * pooled]
    expected: Any = stats.dunnett(*variants, control=baseline, rng=np.random.default_rng(0))
    interval = expected.confidence_interval(0.95)
    assert plain
    for place, item in enumerate(found):
        if item in plain:
            assert item.p_adjusted == pytest.approx(expected.pvalue[place], abs=2e-3)
            assert item.simultaneous[1:] == pytest.approx((interval.low[place], interval.high[place]), abs=0.01)
        else:
            assert item.p_adjusted is not None
            assert item.p_adjusted > expected.pvalue[place]


def test_scales_are_those_of_the_task():
    a, b = (0.001, 0.002, 0.004), (0.1, 0.2, 0.5)
    found = one(a, b, higher_is_better=False, axis=Axis("log"), shape="single")
    expected = ttest(np.log(a), np.log(b))
    assert (found.measure, found.p) == ("ratio", pytest.approx(expected.pvalue, rel=1e-8))
    assert found.size.value == pytest.approx(math.exp(np.mean(np.log(a)) - np.mean(np.log(b))))
    shares = one((0.99, 0.98, 1.0), (0.9, 0.92, 0.85), axis=Axis("logit", 100), shape="single")
    assert (shares.measure, shares.better) == ("odds ratio", True)
    assert shares.size.value > 1


def test_what_is_not_single_is_ranked_and_named():
    even = (0.1, 0.11, 0.12, 0.13, 0.14)
    cases = {
        "2 of 5 runs diverged": [0.1, 0.2, math.nan, 0.3, math.inf],
        "all 5 scores are the same": [0.5] * 5,
    }
    for words, scores in cases.items():
        found = one(scores, even, False, axis=Axis("log"), shape="single", chance=1 / 6, solved=0.01)
        assert (found.test, found.odd) == ("Mann-Whitney", words)
        found = one(even, scores, False, axis=Axis("log"), shape="single", chance=1 / 6, solved=0.01)
        assert (found.test, found.odd) == ("Mann-Whitney", f"of the baseline {words}")


def test_clusters_of_one_variant_speak_against_all():
    even, mixed = Sample((0.1, 0.11, 0.12, 0.13, 0.14)), Sample([0.001, 0.0015, 0.16, 0.001, 0.166])
    family = Family(even, [even, mixed], False, Axis("log"), "single", chance=1 / 6, solved=0.01)
    (found,) = differences([family])
    assert [(item.test, item.odd) for item in found] == [("Mann-Whitney", "3 of 15 runs solve the task and 6 stay at chance")] * 2
    # Each of one kind: three solved runs against three failed ones are no two values with a little scatter.
    solved, failed = Sample([0.001, 0.0012, 0.0011]), Sample([0.165, 0.166, 0.1655])
    apart = one(solved, failed, False, axis=Axis("log"), shape="single", chance=1 / 6, solved=0.01)
    assert (apart.test, apart.better) == ("Mann-Whitney", None)


def test_nothing_is_decided_from_zero_variance():
    found = one([1.0, 1.0, 1.0], [0.5, 0.5, 0.5], shape="single")
    assert (found.test, found.p, found.better) == ("Mann-Whitney", pytest.approx(0.1), None)
    assert found.size == (0.5, None, None)
    same = one([1.0, 1.0, 1.0], [1.0, 1.0, 1.0], shape="single")
    assert (same.p, same.better) == (1.0, None)
    # Rounding is no variance: 0.1 + 0.2 is not 0.3.
    assert one([0.1 + 0.2, 0.3, 0.3], [0.3, 0.3, 0.3], shape="single").test == "Mann-Whitney"


def test_a_diverged_seed_is_ranked_last_and_never_left_out():
    bad, good = Sample([0.1, 0.2, math.nan, 0.3, math.inf]), Sample([0.01, 0.02, 0.03, 0.04, 0.05])
    found = one(bad, good, higher_is_better=False)
    assert (found.test, found.n, found.failures, found.baseline_failures) == ("Mann-Whitney", 5, 2, 0)
    assert found.p == pytest.approx(2 / math.comb(10, 5))  # every one of the five is worse than every other
    assert (found.better, found.improvement.value) == (False, 0)
    assert one(good, bad, higher_is_better=True).improvement.value == pytest.approx(2 / 5)  # -inf is the worst here


def test_times_are_compared_by_the_log_rank_test():
    slow, fast = solving(550, 750, 650, None, None), solving(350, 300, 350, 300, 300)
    found = one(fast, slow, False, axis=Axis("log"), until=900)
    assert slow.times is not None
    assert fast.times is not None
    expected = log_rank([(fast.times, slow.times)])
    assert (found.test, found.statistic, found.p, found.least) == ("log-rank", expected.chi_square, expected.p, expected.least)
    assert (found.better, found.measure, found.on_time) == (True, "time ratio", True)
    assert found.size.value == pytest.approx(350 / 900)  # the two that never solve it count as later than 900
    assert found.share is not None
    assert found.share.value == pytest.approx(0.4)
    assert found.improvement.value == 1.0
    with pytest.raises(ValueError, match="not known for every sample"):
        one([0.1, 0.2], [0.1, 0.2], until=900)


def test_one_seed_is_not_tested():
    for shape in ("single", "any"):
        found = one([0.5], [0.4, 0.3], shape=shape)
        assert (found.test, found.p, found.p_adjusted, found.better) == ("", None, None, None)
        assert (found.size.value, found.size.low) == (pytest.approx(0.15), None)


@pytest.mark.parametrize(("variant", "message"), [(Sample([]), "shape"), (Sample([0.1, 0.2], (1,)), "2 scores of 1 seeds")])
@pytest.mark.parametrize("shape", ["single", "any"])
def test_samples_that_are_none(variant: Sample, message: str, shape: str):
    with pytest.raises(ValueError, match=message):
        one(variant, Sample([0.1, 0.2]), shape=shape)


def test_pairs_on_request():
    a, b = Sample(A, (0, 1, 2, 3)), Sample(B, (3, 2, 1, 0))
    found = one(a, b, paired=True, shape="single")
    expected: Any = stats.ttest_rel(A, B[::-1])
    assert (found.test, found.p) == ("paired t", pytest.approx(expected.pvalue, rel=1e-9))
    assert found.size[1:] == pytest.approx(tuple(expected.confidence_interval(0.95)), rel=1e-9)
    assert found.correlation == pytest.approx(np.corrcoef(A, B[::-1])[0, 1])
    ranks = one(a, b, paired=True)
    assert (ranks.test, ranks.p) == ("Wilcoxon", pytest.approx(stats.wilcoxon(np.subtract(A, B[::-1]))[1]))
    for other in (Sample(B, (0, 1, 2, 4)), Sample(B), Sample(B, (0, 0, 1, 2))):
        found = one(a, other, paired=True)
        assert (found.test, found.correlation) == ("", None)
    assert one(a, b, shape="single").correlation is None


def test_holm_by_hand():
    # In rising order 0.01, 0.03, 0.04: times 3, 2, 1 and never falling.
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([None, 0.02, None]) == [None, 0.02, None]  # what is not tested costs nothing
    assert holm([]) == []


def test_all_tasks_are_one_family():
    rng = np.random.default_rng(3)
    families = [Family(Sample(rng.normal(0, 1, 6)), [Sample(rng.normal(1.5, 1, 6))], True, shape="single") for _ in range(4)]
    together = [found.p_adjusted for (found,) in differences(families)]
    alone = [found.p for family in families for (found,) in differences([family])]
    assert together == pytest.approx([min(1.0, 4 * (p or 0)) for p in alone], rel=1e-6)
    (first,), *_ = differences(families)
    assert first.simultaneous.high is not None
    assert first.size.high is not None
    assert first.simultaneous.high > first.size.high


def test_tests_that_cannot_find_anything_are_not_counted():
    few, many = Sample([0.1, 0.2, 0.3]), Sample([1.0, 1.1, 1.2, 1.3, 1.4])
    assert least_p(3, 3) == pytest.approx(0.1)
    hopeless = Family(Sample([1.1, 1.2, 1.3]), [few], True)
    hopeful = Family(Sample([0.1, 0.2, 0.3, 0.4, 0.5]), [many], True)
    (lost,), (found,) = differences([hopeless, hopeful])
    assert (lost.p, lost.p_adjusted, lost.least, lost.better) == (pytest.approx(0.1), lost.p, lost.p, None)
    assert lost.simultaneous[1:] == (None, None)
    assert (found.p, found.p_adjusted) == (pytest.approx(2 / 252), found.p)
    assert found.better is True


def test_only_the_adjusted_p_decides():
    rng = np.random.default_rng(3)
    variants = [Sample(rng.normal(0.9, 1, 10)) for _ in range(12)]
    for shape in ("single", "any"):
        (found,) = differences([Family(Sample(rng.normal(0, 1, 10)), variants, True, shape=shape)])
        for item in found:
            assert item.p is not None
            assert item.p_adjusted is not None
            assert item.p_adjusted >= item.p - 1e-9
            assert item.better is (True if item.p_adjusted < 0.05 else None)


def test_a_family_of_both_kinds_shares_its_alpha():
    rng = np.random.default_rng(5)
    baseline, even, odd = (Sample(x) for x in (rng.normal(0, 1, 6), rng.normal(1, 1, 6), [*rng.normal(0, 1, 5), math.nan]))
    ((first, second),) = differences([Family(baseline, [even, odd], True, shape="single")])
    (alone,) = differences([Family(baseline, [even], True, shape="single")])[0]
    assert (first.test, second.test) == ("Dunnett", "Mann-Whitney")
    assert first.p_adjusted == pytest.approx(min(1, 2 * (alone.p_adjusted or 0)))
    assert second.p_adjusted == pytest.approx(min(1, 2 * (second.p or 0)))
