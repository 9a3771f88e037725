"""`gatelab status` as a user sees it."""

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from gatelab.analysis.reading.status import overview
from gatelab.analysis.reading.terminal import view
from gatelab.runs import RunWriter
from gatelab.runs.sweep import write_plan

SUMMARY = {"metric": "mse", "val": {"mse": 0.5}, "test": {"mse": 0.5}}


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """One run done, one running, one failed with markup in its reason, one queued."""
    folder = tmp_path / "runs"
    configs = {}
    for seed, state in enumerate(("done", "running", "failed", "queued")):
        configs[folder / f"lstm-adding-s{seed}-x"] = {
            "cell": {"name": "lstm"},
            "task": {"name": "adding"},
            "seed": seed,
            "trainer": {"max_steps": 1000},
            "sweep": "s",
        }
        path, config = list(configs.items())[-1]
        if state == "queued":
            break
        writer = RunWriter(path)
        writer.start(config, {}, str(seed))
        writer.progress(1)
        if state == "done":
            writer.finish(SUMMARY, 1000)
        elif state == "failed":
            writer.fail("No [bold]memory[/].", "Traceback", None)
        writer.close()
    write_plan(configs)
    return folder


def test_one_look(sweep: Path, gatelab):
    status, out, err = gatelab("status", str(sweep))
    assert (status, err) == (0, "")
    assert out.startswith("4 runs: 1 done, 1 running, 1 queued, 1 failed\n")
    assert f"lstm-adding-s2-x  failed at step 1: No [bold]memory[/]. See {sweep}/lstm-adding-s2-x/status.json\n" in out


def test_watching_a_pipe_is_one_look(sweep: Path, gatelab):
    assert gatelab("status", "--watch", str(sweep)) == gatelab("status", str(sweep))


def test_for_programs(sweep: Path, gatelab):
    status, out, _ = gatelab("status", str(sweep), "--format", "json")
    found = json.loads(out)
    assert status == 0
    assert found["counts"] == {"done": 1, "running": 1, "queued": 1, "failed": 1}
    assert found["seconds_left"] is None
    assert [(run["cell"], run["state"]) for run in found["runs"]] == [("lstm", s) for s in ("done", "running", "failed", "queued")]


def test_an_empty_folder(tmp_path: Path, gatelab):
    status, out, err = gatelab("status", str(tmp_path))
    assert (status, out) == (0, "There are no runs here.\n")
    assert "there is no run in it" in err


def test_a_missing_folder(tmp_path: Path, gatelab):
    status, _, err = gatelab("status", str(tmp_path / "nowhere"))
    assert status == 2
    assert "There is no folder" in err


@pytest.mark.parametrize("width", [40, 80, 140])
def test_it_fits_the_terminal(sweep: Path, width: int):
    console = Console(width=width, file=io.StringIO(), force_terminal=True, color_system=None)
    console.print(view(overview([sweep]), width))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    assert re.search("[01] of 1,000", " ".join(lines))  # the first step is noted when the status is a second old
    assert "lstm-adding" in "".join(lines)


@pytest.mark.slow  # a process of its own
def test_watch_goes_on_until_interrupted(sweep: Path):
    controller, terminal = pty.openpty()
    command = [sys.executable, "-m", "gatelab.cli.main", "status", "--watch", str(sweep)]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(command, stdout=terminal, stderr=subprocess.PIPE, env=environment) as process:
        os.close(terminal)
        seen = b""
        deadline = time.monotonic() + 300
        looked = False
        while time.monotonic() < deadline and b"2 done" not in seen:
            seen += os.read(controller, 4096)
            if b"1 done" in seen and not looked:  # drawn once; now a run ends
                looked = True
                path = sweep / "lstm-adding-s1-x" / "status.json"
                path.with_name("summary.json").write_text(json.dumps(SUMMARY))
                path.write_text(json.dumps(json.loads(path.read_text()) | {"state": "finished"}))
        process.send_signal(signal.SIGINT)
        assert process.wait(300) == 0
        assert process.stderr is not None
        assert process.stderr.read() == b""
    os.close(controller)
    assert b"2 done" in seen
