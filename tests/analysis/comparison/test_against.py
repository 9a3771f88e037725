"""What rows are compared by, and how: the policy of tests on runs."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from analysis.comparison.rows import compared, difference_of, only, printed
from scipy import stats

from gatelab.analysis.comparison.table import compare
from gatelab.runs import find_runs

ttest: Any = stats.ttest_ind  # SciPy makes the class of its result at run time


def test_difference_to_the_baseline(messy: Path):
    rows = compared(messy, "lstm").rows
    row = only(rows, cell="gru", task="copying")
    difference = difference_of(row)
    expected = ttest([0.6, 0.61, 0.62], [0.5, 0.51, 0.52])
    assert (difference.test, difference.p) == ("Dunnett", pytest.approx(expected.pvalue, rel=1e-6))
    assert difference.size == pytest.approx((0.1, *expected.confidence_interval(0.95)))
    # The other task has one comparison, too: both are one family.
    other = difference_of(only(rows, cell="gru", task="adding"))
    assert difference.p is not None
    assert other.p is not None
    expected_p = min(1.0, 2 * difference.p), min(1.0, 2 * other.p)
    assert (difference.p_adjusted, other.p_adjusted) == pytest.approx(expected_p, rel=1e-3)
    assert row.better is True
    assert only(rows, cell="lstm", task="copying").difference is None


def test_equal_seeds_are_paired_on_request_alone(make_run, tmp_path: Path):
    lstm, gru = [0.5, 0.6, 0.7], [0.51, 0.59, 0.74]
    for seed in (2, 0, 1):
        make_run("lstm", seed=seed, score=lstm[seed])
        make_run("gru", seed=seed, score=gru[seed])
    runs = find_runs([tmp_path])[0]
    row = only(compare(runs, "lstm").rows, cell="gru")
    assert (difference_of(row).test, row.seeds, row.scores) == ("Dunnett", ("0", "1", "2"), tuple(gru))
    assert difference_of(row).p == pytest.approx(ttest(gru, lstm).pvalue, rel=1e-6)
    paired = difference_of(only(compare(runs, "lstm", paired=True).rows, cell="gru"))
    expected: Any = stats.ttest_rel(gru, lstm)
    assert (paired.test, paired.p) == ("paired t", pytest.approx(expected.pvalue))
    assert paired.size[1:] == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert paired.correlation == pytest.approx(np.corrcoef(gru, lstm)[0, 1])
    assert "0.98" in printed(compare(runs, "lstm", paired=True).rows, 140)


def test_all_variants_are_one_family(make_run, tmp_path: Path):
    scores = {"lstm": [0.5, 0.6, 0.7], "gru": [0.3, 0.35, 0.2], "cifg": [0.52, 0.69, 0.5]}
    for cell, values in scores.items():
        for seed, score in enumerate(values):
            make_run(cell, seed=seed + 10 * (cell != "lstm"), score=score)
    rows = compared(tmp_path, "lstm").rows
    gru, cifg = only(rows, cell="gru"), only(rows, cell="cifg")
    expected: Any = stats.dunnett(scores["gru"], scores["cifg"], control=scores["lstm"], rng=np.random.default_rng(0))
    # The larger of pooled and own variance counts: here the pooled one for gru, its own for cifg.
    assert difference_of(gru).p_adjusted == pytest.approx(expected.pvalue[0], abs=2e-3)
    assert (difference_of(cifg).p_adjusted or 0) > expected.pvalue[1]
    assert (gru.better, cifg.better) == (True, None)  # mse: lower is better


def test_the_time_to_solve_leads_where_some_runs_solve_the_task(make_run, tmp_path: Path):
    # The synthetic accuracy rises in a straight line to its last value at step 200; at 0.99 and more the task is solved.
    for seed in range(5):
        make_run("lstm", "copying", seed, score=1.0 if seed else 0.5, shape="any")
        make_run("gru", "copying", seed, score=2.0 + 0.1 * seed, shape="any")
    gru, lstm = compared(tmp_path, "lstm").rows
    assert (gru.cell, gru.on_time, gru.best, gru.mean, lstm.best) == ("gru", True, True, None, False)
    assert difference_of(gru).test == "log-rank"
    assert (difference_of(gru).measure, difference_of(gru).size.value) == ("time ratio", pytest.approx(0.5))
    text = printed([gru, lstm], 140, baseline="lstm")
    assert text.index("steps to solve") < text.index("median accuracy")
    assert "0.5 (0.5 to 0.5) better" in text  # the synthetic times have no scatter
    assert "A time ratio of 0.5: the runs that solve the task need half the steps." in " ".join(text.split())
    assert "No mean: runs of this task may solve it or stay at chance" in text


def test_the_score_leads_where_all_runs_solve_the_task_or_none(make_run, tmp_path: Path):
    for seed in range(5):
        make_run("lstm", "copying", seed, score=0.5 + 0.01 * seed, shape="any")
        make_run("gru", "copying", seed, score=0.6 + 0.01 * seed, shape="any")
    gru, _ = compared(tmp_path, "lstm").rows
    assert (gru.on_time, difference_of(gru).test, gru.better) == (False, "Mann-Whitney", True)
    assert gru.median == (0.62, 0.6, 0.64)


def test_a_score_that_scatters_around_one_value_leads(make_run, tmp_path: Path):
    for seed in range(5):
        make_run("lstm", "copying", seed, score=0.96 + 0.01 * seed)
        make_run("gru", "copying", seed, score=0.99 + 0.01 * seed)
    gru, lstm = compared(tmp_path, "lstm").rows
    assert (gru.cell, gru.on_time, gru.mean is not None) == ("gru", False, True)
    assert lstm.solving is not None
    assert 0 < lstm.solving.count < 5


def test_clusters_are_said_though_the_task_declares_none(make_run, tmp_path: Path):
    for seed in range(3):
        make_run("lstm", "copying", seed, score=0.12 + 0.85 * (seed > 0))
        make_run("gru", "copying", seed, score=0.995 + 0.001 * seed)
    rows = compared(tmp_path, "lstm").rows
    gru = only(rows, cell="gru")
    assert (gru.mean, gru.odd) == (None, "3 of 6 runs solve the task and 1 stay at chance")
    assert difference_of(gru).test == "Mann-Whitney"
    said = " ".join(printed(rows, 200, baseline="lstm").split())
    assert "Medians and ranks in place of means: 3 of 6 runs solve the task and 1 stay at chance." in said  # it holds for both


def test_medians_of_some_variants_name_them(make_run, tmp_path: Path):
    for seed in range(3):
        for cell in ("lstm", "gru", "cifg", "rnn"):
            same = cell in ("gru", "cifg")
            make_run(cell, "copying", seed, score=0.5 if same else 0.6 + 0.01 * seed)
    rows = compared(tmp_path, "lstm").rows
    said = " ".join(printed(rows, 200, baseline="lstm").split())
    assert "Medians and ranks in place of the mean of cifg and gru: all 3 scores are the same." in said
    assert said.count("Medians and ranks") == 1
    even = [row for row in rows if row.cell in ("lstm", "rnn")]
    assert "Medians and ranks" not in printed(even, 200, baseline="lstm")


def test_runs_of_an_earlier_version_are_read_as_the_others(make_run, tmp_path: Path):
    for seed in range(3):
        make_run("lstm", seed=seed, score=0.2 + 0.01 * seed)
        old = make_run("gru", seed=seed, score=0.3 + 0.01 * seed)
        summary = json.loads((old / "summary.json").read_text())
        for name in ("scale", "shape", "test_size"):
            del summary[name]
        (old / "summary.json").write_text(json.dumps(summary))
    gru = only(compared(tmp_path, "lstm").rows, cell="gru")
    assert (gru.shape, difference_of(gru).test) == ("single", "Dunnett")
