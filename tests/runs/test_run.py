"""The run directory as it is written, queued, marked and read."""

import errno
import math
import time
from pathlib import Path

import pytest

from gatelab.runs import Run, RunBusyError, RunWriter, enqueue, lock, mark, read_run
from gatelab.runs import writer as ledger


def test_arrays_are_read_as_they_were_written(tmp_path: Path) -> None:
    run = Run(tmp_path, {}, {})
    assert run.arrays() == run.last_arrays() == run.inspections() == {}
    writer = RunWriter(tmp_path)
    writer.append("arrays.jsonl", {"step": 20, "timescale/0/units": [2.0, math.inf], "flow/0/h/norm": [1.0]})
    writer.append("arrays.jsonl", {"step": 10, "timescale/0/units": [1.0, 3.0]})
    writer.append("arrays.jsonl", {"step": 20, "timescale/0/units": [4.0, math.inf]})  # by a run that went on
    writer.close()
    assert run.arrays() == {
        "timescale/0/units": ([10, 20], [[1.0, 3.0], [4.0, math.inf]]),
        "flow/0/h/norm": ([20], [[1.0]]),
    }
    assert list(run.arrays("flow")) == ["timescale/0/units", "flow/0/h/norm"]  # whole lines are left out, not keys
    assert run.arrays("gate") == {}
    assert run.last_arrays() == {"timescale/0/units": [4.0, math.inf]}


CONFIG = {"cell": {"name": "lstm"}, "task": {"name": "adding"}, "seed": 0, "trainer": {"max_steps": 100}}


def test_a_queued_run_is_queued_once(tmp_path: Path) -> None:
    path = tmp_path / "run"
    assert enqueue(path, CONFIG, "id", "local")
    assert read_run(path).state == "queued"
    assert read_run(path).status["launcher"] == "local"
    assert not enqueue(path, CONFIG, "id")
    writer = RunWriter(path)
    writer.start(CONFIG, {}, "id")
    assert not enqueue(path, CONFIG, "id")
    assert read_run(path).state == "running"
    writer.close()


def test_what_a_launcher_notes(tmp_path: Path) -> None:
    assert not mark(tmp_path / "nowhere", "failed", "It was killed.")
    writer = RunWriter(tmp_path)
    writer.start(CONFIG, {}, "id")
    assert not mark(tmp_path, "failed", "It was killed.")  # somebody alive is at it
    writer.close()
    assert mark(tmp_path, "failed", "Out of memory.", "memory")
    status = read_run(tmp_path).status
    assert (status["state"], status["cause"], status["error"]) == ("failed", "memory", "Out of memory.")
    assert not mark(tmp_path, "preempted", "Gone.")  # it has come to an end of its own
    for end in ("finished", "preempted"):
        writer = RunWriter(tmp_path)
        writer.start(CONFIG, {}, "id")
        writer.finish({}, 100) if end == "finished" else writer.preempt("Interrupted.")
        writer.close()
        assert not mark(tmp_path, "failed", "It was killed.")
        assert read_run(tmp_path).state == end


def test_attempts_and_seconds_add_up(tmp_path: Path) -> None:
    seconds = []
    for attempt in (1, 2, 3):
        writer = RunWriter(tmp_path)
        writer.start(CONFIG, {}, "id", threads=2)
        time.sleep(0.02)
        if attempt < 3:
            writer.preempt("Interrupted.")
        else:
            writer.finish({}, 100)
        writer.close()
        status = read_run(tmp_path).status
        assert (status["attempts"], status["threads"]) == (attempt, 2)
        seconds.append(status["wall_seconds"])
    assert seconds[0] >= 0.02
    assert seconds[1] >= seconds[0] + 0.02
    assert seconds[2] >= seconds[1] + 0.02


def test_a_heartbeat_is_noted_while_nothing_else_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in validation, or while a kernel is compiled."""
    for module in (ledger, lock):
        monkeypatch.setattr(module, "HEARTBEAT_SECONDS", 0.02)
    writer = RunWriter(tmp_path)
    writer.start(CONFIG, {}, "id")
    first = read_run(tmp_path).status["updated"]
    deadline = time.monotonic() + 300
    while read_run(tmp_path).status["updated"] == first and time.monotonic() < deadline:
        time.sleep(0.02)
    assert read_run(tmp_path).status["updated"] > first
    writer.close()


def test_who_was_taken_for_dead_writes_nothing_more(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path)
    writer.start(CONFIG, {}, "id")
    writer._lock.lost = True
    with pytest.raises(RunBusyError, match="taken over"):
        writer.progress(3)
    writer.fail("It was taken over.", "", None)
    writer.close()
    assert read_run(tmp_path).state == "running"


def test_leftovers_and_damaged_lines_are_cleared_away(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "checkpoints").mkdir()
    for name in (".status.json.a1.json", "checkpoints/.last.ckpt.b2.ckpt"):
        (tmp_path / name).write_text("half")
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "a/b": 1.0}\n{"step": 2, "a/\x00\n{"step": 3, "a/b": 3.0}\n{"step": 4, "a')
    writer = RunWriter(tmp_path)
    writer.start(CONFIG, {}, "id")
    writer.append("metrics.jsonl", {"step": 4, "a/b": 4.0})
    writer.close()
    assert not list(tmp_path.rglob(".*"))
    assert Run(tmp_path, {}, {}).metrics() == {"a/b": ([1, 3, 4], [1.0, 3.0, 4.0])}
    assert "damaged lines are left out: 2." in caplog.text


def test_a_full_disk_is_noted_in_the_space_that_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = RunWriter(tmp_path)
    writer.start(CONFIG, {}, "id")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ledger, "write_json", full)
    writer.fail("The disk is full.", "trace\n" * 10_000, None, "disk")
    writer.close()
    status = read_run(tmp_path).status
    assert (status["state"], status["cause"]) == ("failed", "disk")
    assert (tmp_path / "status.json").stat().st_size < 4096  # what a file system gives at least
