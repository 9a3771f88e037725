"""What `gatelab doctor` says about data, compiler and cache, and what to do where something is missing."""

import shlex

import pytest

from gatelab.kernels.cpu import build


@pytest.fixture
def doctor(gatelab, monkeypatch, tmp_path):
    """What it prints, in one line; with a cache of its own and a console wide enough for every row."""
    monkeypatch.setenv("COLUMNS", "2000")
    monkeypatch.setenv("GATELAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("GATELAB_DATA", str(tmp_path))
    for name in ("GATELAB_DATA_MIRROR", "CC"):
        monkeypatch.delenv(name, raising=False)

    def call() -> str:
        status, out, _ = gatelab("doctor")
        assert status == 0
        return " ".join(out.split())

    return call


def test_versions_data_and_accounts(doctor):
    said = doctor()
    for text in ("torch", "eager", "missing", "GATELAB_DATA_MIRROR", "W&B"):
        assert text in said


def test_compiler_and_cache(doctor, tmp_path):
    said = doctor()
    compiler = build.compiler()
    assert compiler is not None
    for text in (
        f"C compiler {compiler} ({build.compiler_version(compiler)})",
        "trial kernel compiled and loaded in ",
        f"kernel cache {tmp_path}/cache/kernels: 0 files, 0.0 MB, writable and safe",
        "vector units",
        "allocator",
    ):
        assert text in said
    assert not (tmp_path / "cache").exists()  # nothing is changed


def test_kernels_are_counted(doctor, tmp_path):
    folder = tmp_path / "cache" / "kernels"
    folder.mkdir(parents=True, mode=0o700)
    (folder / f"lstm-{'0' * 16}-{'1' * 16}.so").write_bytes(bytes(2_600_000))
    assert f"{folder}: 1 file, 2.6 MB, writable and safe" in doctor()


def test_without_a_compiler(doctor, monkeypatch):
    monkeypatch.setenv("PATH", "")
    said = doctor()
    for text in ("C compiler none", "trial kernel failed", "apt-get install gcc", "xcode-select --install", "slower eager loop"):
        assert text in said


def test_a_compiler_that_does_not_work(doctor, monkeypatch, tmp_path):
    script = tmp_path / "cc"
    script.write_text(
        '#!/bin/sh\ncase "$*" in --version) echo "cc 1.0";; *) echo "fatal error: math.h: No such file" >&2; exit 1;; esac\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("CC", str(script))
    said = doctor()
    assert f"{script} (cc 1.0)" in said
    assert "trial kernel failed" in said
    assert "math.h: No such file" in said


def test_a_cache_that_is_not_safe(doctor, tmp_path):
    folder = tmp_path / "cache" / "kernels"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    said = doctor()
    assert "0 files, 0.0 MB, not used" in said
    assert f"chmod go-w {shlex.quote(str(folder))}" in said


def test_a_cache_that_cannot_be_made(doctor, tmp_path):
    (tmp_path / "cache").write_text("a file")
    assert f"it cannot be created below '{tmp_path}/cache'" in doctor()
