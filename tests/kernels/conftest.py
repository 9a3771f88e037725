"""A cache and a compiler of their own for the tests of the build."""

import os
import shutil
import subprocess
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
        text = f'#!/bin/sh\nLOG="{log}"\ncase "$*" in *-shared*) echo x >> "$LOG";; esac\n{lines}\nexec {real} "$@"\n'
        # Written by another process: one that this one starts meanwhile would hold it open for writing, and nobody could run it.
        subprocess.run(["tee", f"{script}.new"], input=text, text=True, stdout=subprocess.DEVNULL, check=True)
        os.chmod(f"{script}.new", 0o755)
        os.replace(f"{script}.new", script)
        monkeypatch.setenv("CC", str(script))
        return lambda: len(log.read_text().split())

    return make
