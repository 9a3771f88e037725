"""Where runs stand, from directories as training leaves them."""

import json
from pathlib import Path
from typing import Any

import pytest

from gatelab.analysis.reading import status
from gatelab.analysis.reading.status import Overview, duration, overview
from gatelab.runs import find_runs
from gatelab.runs.sweep import STALE_SECONDS, write_plan

START = 1_000_000.0


def noted(path: Path, **fields: Any) -> Path:
    """Changes what a run noted of itself."""
    file = path / "status.json"
    before = {key: value for key, value in json.loads(file.read_text()).items() if key != "wall_seconds"}
    file.write_text(json.dumps(before | {"started": START, "from_step": 0} | fields))
    return path


def only(found: Overview, state: str):
    (item,) = [item for item in found.runs if item.state == state]
    return item


def planned(folder: Path, *names: str, cell: str = "lstm", task: str = "adding") -> None:
    write_plan({folder / name: {"cell": {"name": cell}, "task": {"name": task}, "sweep": f"{cell}-{task}"} for name in names})


def test_every_state(make_run, tmp_path: Path):
    now = START + STALE_SECONDS + 100
    noted(make_run(seed=0), updated=START + 50)
    noted(make_run(seed=1, state="running"), updated=now, step=100)
    noted(make_run(seed=6, state="running"), updated=now, pid=2**22 + 1)
    noted(make_run(seed=2, state="running"), updated=START, host="elsewhere", pid=7)
    noted(make_run(seed=3, state="failed", error="Out of\nmemory."))
    noted(make_run(seed=4, state="diverged"))
    noted(make_run(seed=5, state="preempted"), error="Interrupted; the same command resumes it.")
    planned(tmp_path / "runs", "next", json.loads((make_run(seed=0) / "status.json").read_text())["id"])
    noted(make_run(seed=0), updated=START + 50)
    found = overview([tmp_path / "runs"], now)
    once = ("running", "stale", "interrupted", "preempted", "diverged", "failed")
    assert found.counts == {"done": 1, "queued": 2} | dict.fromkeys(once, 1)
    assert only(found, "failed").reason == "Out of memory"
    assert only(found, "failed").look.endswith("status.json")
    assert only(found, "preempted").reason == "Interrupted; the same command resumes it"
    assert only(found, "stale").reason == "no sign of life for 3 min 40 s; process 7 on elsewhere"
    assert only(found, "done").seconds == 50


def test_a_run_that_ends_while_it_is_looked_at_is_done(make_run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = noted(make_run(state="running"), updated=START, pid=2**22 + 1)

    def read_before_the_end(folders: Any) -> Any:
        found = find_runs(folders)
        (path / "summary.json").write_text('{"metric": "mse", "val": {"mse": 0.5}, "test": {"mse": 0.5}}')
        noted(path, state="finished")
        return found

    monkeypatch.setattr(status, "find_runs", read_before_the_end)
    assert overview([tmp_path], START).counts == {"done": 1}


def test_time_left_of_the_running(make_run, tmp_path: Path):
    # 100 of 200 steps in 50 s, and 10 s since it last wrote: 100 / 2 - 10 are left.
    noted(make_run(state="running"), updated=START + 50, step=100)
    found = overview([tmp_path], START + 60)
    item = only(found, "running")
    assert (item.steps_per_second, item.seconds_left, found.seconds_left) == pytest.approx((2.0, 40.0, 40.0))


def test_a_run_that_went_on_is_as_fast_as_its_own_steps(make_run, tmp_path: Path):
    noted(make_run(state="running"), updated=START + 10, step=120, from_step=100)
    assert only(overview([tmp_path], START + 10), "running").seconds_left == pytest.approx(40.0)


def test_nothing_is_foretold_from_the_first_steps(make_run, tmp_path: Path):
    noted(make_run(state="running"), updated=START + 10, step=5)
    found = overview([tmp_path], START + 10)
    assert (only(found, "running").seconds_left, found.seconds_left) == (None, None)


def test_time_left_of_the_queued(make_run, tmp_path: Path):
    noted(make_run("lstm", seed=0), updated=START + 100)  # 200 steps in 100 s
    noted(make_run("gru", seed=0), updated=START + 300)
    for seed in (1, 2):
        noted(make_run("gru", seed=seed, state="running"), updated=START + 30, step=180)  # 6 steps/s, 20 left
    planned(tmp_path / "runs", "a", "b", cell="lstm")
    found = overview([tmp_path / "runs"], START + 30)
    assert found.counts == {"done": 2, "running": 2, "queued": 2}
    running = 20 / 6
    assert found.seconds_left == pytest.approx((2 * running + 2 * 100) / 2)
    planned(tmp_path / "runs", "c", cell="new")  # of this cell nothing is known: as long as any of the task
    found = overview([tmp_path / "runs"], START + 30)
    assert found.seconds_left == pytest.approx((2 * running + 2 * 100 + 200) / 2)
    planned(tmp_path / "runs", "d", cell="new", task="copying")  # nor of this task
    found = overview([tmp_path / "runs"], START + 30)
    assert found.seconds_left == pytest.approx((2 * running + 2 * 100 + 200 + 200) / 2)


def test_the_longest_running_one_is_waited_for(make_run, tmp_path: Path):
    noted(make_run(seed=0, state="running"), updated=START + 10, step=190)
    noted(make_run(seed=1, state="running"), updated=START + 100, step=10)
    assert overview([tmp_path], START + 100).seconds_left == pytest.approx(1900.0)


def test_nothing_is_known_of_a_sweep_that_has_not_begun(tmp_path: Path):
    planned(tmp_path, "a", "b")
    found = overview([tmp_path])
    assert (found.counts, found.seconds_left, found.skipped) == ({"queued": 2}, None, [])


def test_a_sweep_that_is_gone(tmp_path: Path):
    planned(tmp_path, "a")
    file = next(tmp_path.glob("sweeps/*/plan.json"))
    plan = json.loads(file.read_text())
    plan["commands"][0]["pid"] = 2**22 + 1
    file.write_text(json.dumps(plan))
    found = overview([tmp_path])
    assert (found.counts, found.seconds_left) == ({"not begun": 1}, None)


def test_what_a_run_that_is_being_made_leaves_is_no_damage(tmp_path: Path):
    planned(tmp_path, "a")
    (tmp_path / "a" / ".hydra").mkdir(parents=True)  # Hydra makes it, a second before the run has a status
    (tmp_path / "b" / ".hydra").mkdir(parents=True)
    found = overview([tmp_path])
    assert found.counts == {"queued": 1}
    assert [item.path.name for item in found.skipped] == ["b"]


def test_a_status_with_next_to_nothing_in_it(make_run, tmp_path: Path):
    (make_run() / "status.json").write_text('{"state": "running"}')
    (make_run(seed=1) / "status.json").write_text('{"state": "running", "updated": "soon", "step": "ten"}')
    found = overview([tmp_path])
    assert found.counts == {"stale": 2}


def test_a_messy_folder(messy: Path):
    found = overview([messy])
    assert found.counts == {"done": 16, "running": 1, "interrupted": 1, "failed": 2}  # one has half a summary
    assert {item.path.name for item in found.skipped} >= {"half-written", "notes"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (-3, "0 s"), (59.6, "1 min"), (200, "3 min 20 s"), (3600, "1 h"), (7500, "2 h 5 min"), (273_600, "3 d 4 h")],
)
def test_durations(seconds: float, text: str):
    assert duration(seconds) == text
