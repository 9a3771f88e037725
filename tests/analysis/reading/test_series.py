"""Curves over seeds: which steps count, what a point stands for, what thinning keeps."""

import numpy as np
import pytest

from gatelab.analysis.reading.series import Curve, density, over_seeds, read_recorded, thinned
from gatelab.runs import read_run


def columns(curve: Curve) -> list[list[float]]:
    return [array.tolist() for array in (curve.steps, curve.n, curve.mean, curve.low, curve.high)]


def test_seeds_with_the_same_steps():
    curve = over_seeds([([10, 20], [1.0, 2.0]), ([10, 20], [3.0, 6.0])])
    assert columns(curve) == [[10, 20], [2, 2], [2.0, 4.0], [1.0, 2.0], [3.0, 6.0]]


def test_behind_the_shortest_seed_the_others_go_on():
    curve = over_seeds([([10, 20, 30], [1.0, 2.0, 3.0]), ([10], [5.0]), ([10, 20, 30], [3.0, 4.0, 7.0])])
    assert columns(curve) == [[10, 20, 30], [3, 2, 2], [3.0, 3.0, 5.0], [1.0, 2.0, 3.0], [5.0, 4.0, 7.0]]


def test_a_step_that_one_seed_passed_over_does_not_count():
    # The second seed was stopped by the clock at step 25.
    curve = over_seeds([([10, 20, 30], [1.0, 2.0, 3.0]), ([10, 20, 25], [3.0, 4.0, 100.0])])
    assert columns(curve)[:3] == [[10, 20, 30], [2, 2, 1], [2.0, 3.0, 3.0]]


def test_a_nan_shows_in_the_mean():
    curve = over_seeds([([10, 20], [1.0, np.nan]), ([10, 20], [3.0, 4.0])])
    assert np.isnan(curve.mean).tolist() == [False, True]
    assert (curve.low.tolist(), curve.high.tolist()) == ([1.0, 4.0], [3.0, 4.0])


def test_infinities_of_both_signs_have_no_mean():
    assert np.isnan(over_seeds([([10], [np.inf]), ([10], [-np.inf])]).mean[0])


@pytest.mark.parametrize("series", [[], [([], [])]])
def test_nothing_recorded(series):
    assert over_seeds(series).steps.size == 0


def test_thinning_keeps_spikes_in_the_band():
    values = np.ones(1000)
    values[777] = 50.0
    curve = thinned(over_seeds([(list(range(1000)), values.tolist())]), 100)
    assert curve.steps.tolist() == list(range(9, 1000, 10))
    assert curve.high[77] == 50.0
    assert curve.mean[77] == pytest.approx(5.9)
    assert curve.low.max() == 1.0
    assert (curve.high > 1).sum() == 1


@pytest.mark.parametrize(("size", "points"), [(101, 60), (1000, 7), (61, 60), (5, 5), (3, 60)])
def test_thinning_covers_all_steps(size: int, points: int):
    steps = list(range(size))
    curve = thinned(over_seeds([(steps, [float(step) for step in steps])]), points)
    assert curve.steps.size == min(size, points)
    assert (curve.low[0], curve.high[-1], curve.steps[-1]) == (0.0, size - 1, size - 1)


def test_density_has_mean_one():
    assert density([1, 3]).tolist() == [0.5, 1.5]
    assert density([0, 0]).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("counts", [[], [[1, 2]], 3, [1, -1], [1.0, float("nan")]])
def test_what_is_no_histogram(counts):
    with pytest.raises(ValueError, match="counts"):
        density(counts)


def test_records_of_a_group(make_run):
    runs = [read_run(make_run(seed=seed, score=0.1 * (seed + 1))) for seed in range(2)]
    recorded, skipped = read_recorded(runs, points=200)
    assert (recorded.runs, skipped) == (2, [])
    assert columns(recorded.curves["val/mse"])[2] == pytest.approx([0.0375, 0.075, 0.1125, 0.15])
    assert set(recorded.histograms) == {"gate/0/input", "gate/0/forget", "gate/0/output"}
    assert recorded.histograms["gate/0/forget"].tolist() == [0.4, 0.8, 1.2, 1.6]
    assert not any(key.endswith("/std") or key.startswith(("train/", "lr", "test/")) for key in recorded.curves)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("metrics.jsonl", "not json"),
        ("metrics.jsonl", '{"step": "ten", "val/mse": 1.0}'),
        ("metrics.jsonl", '{"step": 10, "val/mse": "fast"}'),
        ("metrics.jsonl", '{"step": 10, "val/mse": [1.0]}'),
        ("metrics.jsonl", '{"step": 10, "val/mse": null}'),
        ("metrics.jsonl", "[1, 2]"),
        ("histograms.jsonl", "{}"),
        ("histograms.jsonl", '{"step": 999, "gate/0/forget": "many"}'),
        ("histograms.jsonl", '{"step": 999, "gate/0/forget": [1, 2, 3]}'),
    ],
)
def test_a_damaged_run_is_left_out_and_named(make_run, file: str, line: str):
    sound, damaged = make_run(seed=0, score=0.1), make_run(seed=1, score=0.9)
    with open(damaged / file, "a") as lines:
        lines.write(line + "\n")
    recorded, skipped = read_recorded([read_run(sound), read_run(damaged)], points=200)
    assert recorded.runs == 1
    assert recorded.curves["val/mse"].mean[-1] == 0.1
    assert [(item.path, item.reason.startswith("its curves are left out: ")) for item in skipped] == [(damaged, True)]


def test_half_a_line_at_the_end_is_what_a_kill_leaves(make_run):
    path = make_run(state="running")
    with open(path / "metrics.jsonl", "a") as lines:
        lines.write('{"step": 150, "val/')
    recorded, skipped = read_recorded([read_run(path)], points=200)
    assert skipped == []
    assert recorded.curves["val/mse"].steps.tolist() == [50, 100]


def test_a_run_without_records(make_run):
    path = make_run(state="running")
    (path / "metrics.jsonl").unlink()
    (path / "histograms.jsonl").unlink()
    recorded, skipped = read_recorded([read_run(path)], points=200)
    assert (recorded.curves, recorded.histograms, recorded.runs, skipped) == ({}, {}, 1, [])
