"""Where a number comes from: what is asked of the folder that a command is called in."""

import subprocess
from pathlib import Path

from gatelab.kernels import Served
from gatelab.training.provenance import differences, git_state, provenance


def git(folder: Path, *arguments: str) -> None:
    subprocess.run(
        ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *arguments], check=True, capture_output=True
    )


def test_a_repository_is_asked_and_runs_nothing(tmp_path: Path):
    git(tmp_path, "init")
    (tmp_path / "file").write_text("1")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-m", "first")
    hook, ran = tmp_path / "hook.sh", tmp_path / "ran"
    hook.write_text(f"#!/bin/sh\ntouch '{ran}'\n")
    hook.chmod(0o755)
    git(tmp_path, "config", "core.fsmonitor", str(hook))
    found = git_state(tmp_path)
    assert found is not None
    assert (len(found["commit"]), found["changed"]) == (40, False)
    (tmp_path / "file").write_text("2")
    found = git_state(tmp_path)
    assert found is not None
    assert found["changed"]
    assert not ran.exists()
    assert git_state(tmp_path / "absent") is None


def test_the_backend_is_among_what_decides_the_last_bits():
    cpu = provenance({}, {}, served=Served("cpu", ""))
    eager = provenance({}, {}, served=Served("eager", "Skipping backend 'cpu': there is no compiler."))
    earlier = provenance({}, {})
    assert differences(cpu, cpu) == differences(earlier, eager) == []
    assert differences(cpu, eager) == ["backend: cpu before, eager now (Skipping backend 'cpu': there is no compiler)"]
    assert differences(eager, cpu) == ["backend: eager before, cpu now"]
