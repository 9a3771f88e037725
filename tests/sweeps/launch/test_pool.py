"""Processes for jobs: results, ends of every kind, room, environment. Functions are local: none needs a module."""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from gatelab.sweeps.jobs.needs import Needs
from gatelab.sweeps.launch.pool import METHOD, Ended, Pool, describe

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

ROOM = Needs(threads=2, memory=100)


def run(
    function: Callable[..., Any], calls: list[tuple[Any, ...]], needs: list[Needs] | None = None, **options: Any
) -> list[Ended]:
    ends = list(Pool((), ROOM, **options).run(function, calls, needs or [Needs()] * len(calls)))
    return sorted(ends, key=lambda end: end.index)


def test_every_end_is_told_apart():
    def work(kind: str) -> Any:
        if kind == "raises":
            raise ValueError("no such thing")
        if kind == "exits":
            os._exit(7)
        if kind == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        return ["x" * 1_000_000, os.getpid()]  # more than a pipe holds

    ends = run(work, [("returns",), ("raises",), ("exits",), ("killed",), ("returns",)])
    assert [end.exit_status for end in ends] == [0, 0, 7, -signal.SIGKILL, 0]
    assert [end.error for end in ends] == ["", "no such thing", "", "", ""]
    assert len(ends[0].result[0]) == 1_000_000
    assert len({end.result[1] for end in (ends[0], ends[4])} | {os.getpid()}) == 3
    assert "killed (signal 9), perhaps out of memory" in describe(ends[3].exit_status)
    assert "exit status 7" in describe(ends[2].exit_status)


def test_one_that_is_terminated_alone_says_143():
    (end,) = run(lambda: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(60), [()])
    assert end.exit_status == 128 + signal.SIGTERM


@pytest.mark.slow
@pytest.mark.parametrize(
    ("needs", "options", "at_once"),
    [
        ([Needs()] * 5, {}, 2),
        ([Needs(threads=2)] * 4, {}, 1),
        ([Needs(memory=60)] * 4, {}, 1),
        ([Needs(threads=5)] * 3, {}, 1),  # more than there is: alone, but at all
        ([Needs(threads=5)] * 6, {"at_once": 3}, 3),  # who says so knows better
    ],
    ids=["threads", "two threads", "memory", "too large", "given"],
)
def test_as_many_at_once_as_there_is_room_for(needs, options, at_once, tmp_path):
    full = tmp_path / "full"  # so many have been there together
    jobs = tmp_path / "jobs"
    jobs.mkdir()

    def work(number: int) -> int:
        (jobs / str(number)).touch()
        deadline = time.monotonic() + 60
        while not full.exists() and len(list(jobs.iterdir())) < at_once and time.monotonic() < deadline:
            time.sleep(0.01)
        full.touch()
        time.sleep(0.3)  # one that should not begin yet has time to
        there = len(list(jobs.iterdir()))
        (jobs / str(number)).unlink()
        return there

    ends = run(work, [(number,) for number in range(len(needs))], needs, **options)
    assert max(end.result for end in ends) == at_once


def test_a_process_has_the_environment_of_this_moment(monkeypatch):
    def work() -> tuple[Any, ...]:
        return os.environ.get("GATELAB_TEST"), os.environ.get("GATELAB_OTHER"), os.getcwd(), sys.stdin.read(1)

    monkeypatch.setenv("GATELAB_OTHER", "1")
    run(work, [()])
    monkeypatch.delenv("GATELAB_OTHER")
    monkeypatch.setenv("GATELAB_TEST", "now")
    (end,) = run(work, [()])
    assert end.result == ("now", None, os.getcwd(), "")


@pytest.mark.slow
def test_closing_ends_what_is_running(tmp_path):
    def work(number: int) -> None:
        if number:
            (tmp_path / "pid").write_text(str(os.getpid()))
            time.sleep(60)
        while not (tmp_path / "pid").exists():
            time.sleep(0.01)

    ends = Pool((), ROOM).run(work, [(0,), (1,), (2,)], [Needs()] * 3)
    assert next(ends).index == 0
    pid = int((tmp_path / "pid").read_text() or 0)
    ends.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.slow
@pytest.mark.skipif(METHOD != "forkserver", reason="there is no fork here")
def test_a_killed_server_costs_only_what_was_running():
    def work(number: int) -> int:
        if number == 0:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(60)
        return os.getppid()

    ends = run(work, [(0,), (1,), (2,)], at_once=1)
    assert ends[0].exit_status != 0
    assert ends[0].result is None
    assert ends[1].result == ends[2].result
