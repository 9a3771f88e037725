"""What tests share: the offline copy of the data files, and signals as a terminal leaves them."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

# What a shell starts in the background ignores SIGINT, and so would all programs that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    """One thread: the tensors here are small, and test processes run beside each other."""
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):  # who only hands out tests needs no torch
        import torch

        torch.set_num_threads(1)


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of real data files, in use; skips the test where a checkout comes without one."""
    beside = Path(__file__).parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GATELAB_DATA_MIRROR") or beside)
    if not folder.is_dir():
        pytest.skip(f"no data mirror at {folder}; set GATELAB_DATA_MIRROR to a folder with the data files")
    monkeypatch.setenv("GATELAB_DATA_MIRROR", str(folder))
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one mebibyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is slow comes first: a long test among the last ones would leave all other cores idle."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
