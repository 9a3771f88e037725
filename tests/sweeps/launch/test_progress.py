"""The bar over a sweep: it only reads run directories."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from gatelab.runs import RunWriter
from gatelab.sweeps.launch import progress
from gatelab.sweeps.launch.progress import Progress

CONFIG = {"cell": {"name": "lstm"}, "task": {"name": "adding"}, "seed": 0, "trainer": {"max_steps": 10}}
SUMMARY = {"metric": "mse", "chance": 1 / 6, "val": {"mse": 0.5}, "test": {"mse": 0.0123456}, "steps": 10, "wall_seconds": 3.2}


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Two runs that are being written, and what the bar prints about them."""
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LOOKS", 0.01)
    printed = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=printed, width=200))
    paths = [tmp_path / "runs" / name for name in ("lstm-a", "lstm-b")]
    return paths, printed


def write(path: Path, end: str) -> None:
    writer = RunWriter(path)
    writer.start(CONFIG, {}, "id")
    if end == "finished":
        writer.finish(SUMMARY, 10)
    elif end == "failed":
        writer.fail("The training loss is nan at step 7.", "Traceback ...", None)
    writer.close()


def test_every_ended_run_gets_a_line_and_failures_count(watched):
    paths, printed = watched
    with Progress(paths) as bar:
        write(paths[0], "finished")
        write(paths[1], "failed")
    assert bar.summarise() == 1
    said = printed.getvalue()
    assert "lstm-a  test mse 0.01235 (chance 0.1667)  10 steps  3 s" in said
    assert "lstm-b  failed at step 0: The training loss is nan at step 7." in said
    assert "1 of 2 runs finished" in said


def test_runs_finished_before_are_only_counted(watched):
    paths, printed = watched
    for path in paths:
        write(path, "finished")
    with Progress(paths) as bar:
        pass
    assert bar.summarise() == 0
    assert "2 of 2 runs finished" in printed.getvalue()
    assert "test mse" not in printed.getvalue()


def test_what_was_left_by_an_earlier_command_is_not_taken_for_its_result(watched):
    paths, printed = watched
    write(paths[0], "failed")
    with Progress(paths[:1]) as bar:
        write(paths[0], "finished")
    assert bar.summarise() == 0
    assert "failed" not in printed.getvalue()


def test_a_run_that_never_ends_is_no_success(watched):
    paths, _ = watched
    with Progress(paths[:1]) as bar:
        write(paths[0], "running")
    assert bar.summarise() == 1


def test_a_run_that_another_process_trains_is_left_to_it(watched):
    paths, printed = watched
    with Progress(paths) as bar:
        write(paths[0], "finished")
        writer = RunWriter(paths[1])
        writer.start(CONFIG, {}, "id")
    assert bar.summarise() == 0
    writer.close()
    assert f"1 run is being trained by other processes: process {os.getpid()} on " in printed.getvalue()


def test_only_what_has_changed_is_read(watched, monkeypatch):
    paths, _ = watched
    read = []
    monkeypatch.setattr(progress, "read_run", lambda path, whole=progress.read_run: read.append(path) or whole(path))
    write(paths[0], "finished")
    bar = Progress(paths)
    write(paths[1], "running")
    read.clear()
    with bar:
        for _ in range(5):
            bar._update()
        assert read == [paths[1]]
        bar.add([paths[0].with_name("lstm-c")])
        write(paths[1], "finished")
    assert set(read) == {paths[1]}
    assert bar.summarise() == 1  # the third has not begun
