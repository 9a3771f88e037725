"""One process at a time in a directory, and never a living one robbed of its lock."""

import json
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gatelab.process import identity
from gatelab.process.identity import process_alive, this_process
from gatelab.runs import lock as locks
from gatelab.runs.lock import RunBusyError, RunLock, holder


def left(directory: Path, number: int = 1, ago: float = 0.0, **record: Any) -> Path:
    """A lock file as somebody else left it."""
    path = directory / f"lock-{number}"
    path.write_text(json.dumps(this_process() | record))
    at = time.time() - ago
    os.utime(path, (at, at))
    return path


ELSEWHERE: dict[str, Any] = {"host": "elsewhere", "boot": "another"}


def test_a_second_one_is_told_who_holds_it(tmp_path: Path):
    with RunLock(tmp_path):
        with pytest.raises(RunBusyError, match=f"process {os.getpid()} on "):
            RunLock(tmp_path)
        record = holder(tmp_path)
        assert record is not None
        assert record["pid"] == os.getpid()
    assert holder(tmp_path) is None
    RunLock(tmp_path).release()


def test_the_lock_of_a_killed_process_is_taken_at_once(tmp_path: Path):
    code = (
        f"import os; from pathlib import Path; from gatelab.runs.lock import RunLock; RunLock(Path({str(tmp_path)!r})); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    assert (tmp_path / "lock-1").exists()
    RunLock(tmp_path).release()
    assert [path.name for path in tmp_path.iterdir()] == ["lock-2"]


def test_a_process_with_the_number_of_a_dead_one_is_another(tmp_path: Path):
    assert process_alive(this_process())
    assert not process_alive(this_process() | {"began": 1})
    left(tmp_path, began=1)
    RunLock(tmp_path).release()


def test_a_process_that_is_only_waited_for_is_dead():
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        record = this_process() | {"pid": process.pid, "began": identity._began(process.pid)}
        assert os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT) is not None  # ended, and left as it is
        assert not process_alive(record)


def test_a_holder_elsewhere_is_believed_while_it_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.01)
    left(tmp_path, ago=0.1 * locks.LOCK_SILENT_SECONDS, **ELSEWHERE)
    with pytest.raises(RunBusyError, match="elsewhere"):
        RunLock(tmp_path)
    left(tmp_path, ago=locks.LOCK_SILENT_SECONDS + 5, **ELSEWHERE)
    RunLock(tmp_path).release()


def test_a_clock_that_was_set_breaks_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The holder elsewhere seems silent, or of the future, but is heard while one waits."""
    for ago in (3600.0, -3600.0):
        path = left(tmp_path, ago=ago, **ELSEWHERE)
        monkeypatch.setattr(locks.time, "sleep", lambda _, path=path: os.utime(path))
        with pytest.raises(RunBusyError):
            RunLock(tmp_path)
        monkeypatch.setattr(locks.time, "sleep", lambda _: None)
        path = left(tmp_path, ago=ago, **ELSEWHERE)
        RunLock(tmp_path).release()
        (tmp_path / "lock-2").unlink()


def test_a_silent_holder_on_this_machine_keeps_it(tmp_path: Path):
    left(tmp_path, ago=1e6)  # stopped, or a machine that slept
    with pytest.raises(RunBusyError):
        RunLock(tmp_path)


def test_a_lock_that_cannot_be_read_is_somebodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "lock-1").write_text("{")
    with pytest.raises(RunBusyError):
        RunLock(tmp_path)
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.01)
    os.utime(tmp_path / "lock-1", (0, 0))
    RunLock(tmp_path).release()


def test_heartbeat_and_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.01)
    beats: list[float] = []

    def beat() -> None:
        beats.append(time.monotonic())
        raise OSError("what a heartbeat raises ends nothing")

    lock = RunLock(tmp_path, beat)
    os.utime(tmp_path / "lock-1", (0, 0))
    deadline = time.monotonic() + 300
    while len(beats) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (tmp_path / "lock-1").stat().st_mtime > 0
    assert not lock.lost
    left(tmp_path, 2, **ELSEWHERE)  # as if another host had taken this process for dead
    while not lock.lost and time.monotonic() < deadline:
        time.sleep(0.01)
    assert lock.lost
    lock.release()
    assert json.loads((tmp_path / "lock-2").read_text())["host"] == "elsewhere"  # which is not ours to free


def test_who_looked_too_early_takes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """While one is about to break a dead lock, another has broken it, is done, and a third holds the next."""
    left(tmp_path, 1, began=1)
    dead = locks._dead

    def slow(path: Path, record: dict[str, Any]) -> bool:
        monkeypatch.setattr(locks, "_dead", dead)
        left(tmp_path, 3)
        (tmp_path / "lock-1").unlink()
        return True

    monkeypatch.setattr(locks, "_dead", slow)
    with pytest.raises(RunBusyError):
        RunLock(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lock-3"]


def test_a_full_disk_keeps_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    lock = RunLock(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(locks, "_write", full)
        lock.release()
    assert holder(tmp_path) is None
    RunLock(tmp_path).release()


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refuse(*_: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    with RunLock(tmp_path), pytest.raises(RunBusyError):
        RunLock(tmp_path)
    RunLock(tmp_path).release()


def test_of_many_at_once_one_gets_it(tmp_path: Path):
    left(tmp_path, 1, began=1)

    def attempt(_: int) -> RunLock | None:
        try:
            return RunLock(tmp_path)
        except RunBusyError:
            return None

    with ThreadPoolExecutor(16) as pool:
        won = [lock for lock in pool.map(attempt, range(64)) if lock]
    assert len(won) == 1
    won[0].release()


def _count(directory: str, times: int) -> None:
    counter = Path(directory) / "counter"
    for _ in range(times):
        while True:
            try:
                lock = RunLock(Path(directory))
                break
            except RunBusyError:
                time.sleep(0.001)
        with lock:
            counter.write_text(str(int(counter.read_text()) + 1))


@pytest.mark.slow
def test_processes_take_turns(tmp_path: Path):
    (tmp_path / "counter").write_text("0")
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(str(tmp_path), 40)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert (tmp_path / "counter").read_text() == "120"
