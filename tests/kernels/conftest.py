"""A cache and a compiler of their own for the tests of the build."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test, not made yet, and a temporary folder of its own."""
    monkeypatch.setenv("GATELAB_CACHE", str(tmp_path / "cache"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    return tmp_path / "cache" / "kernels"


@pytest.fixture
def wrap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Callable[[], int]]:
    """Puts shell lines in front of the compiler, as CC; what is returned counts the compilations so far, the lines of $LOG."""

    def make(lines: str = "") -> Callable[[], int]:
        log, script = tmp_path / "compilations", tmp_path / "compiler"
        log.touch()
        real = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        script.write_text(f'#!/bin/sh\nLOG="{log}"\ncase "$*" in *-shared*) echo x >> "$LOG";; esac\n{lines}\nexec {real} "$@"\n')
        script.chmod(0o755)
        monkeypatch.setenv("CC", str(script))
        return lambda: len(log.read_text().split())

    return make
