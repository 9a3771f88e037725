"""What tests share: how they call commands, the offline copy of the data files, and signals as a terminal leaves them."""

import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

PLUGIN = '''
from dataclasses import dataclass

from torch import sigmoid, tanh

from gatelab import Cell, option


@dataclass(frozen=True)
class Damped(Cell):
    """Damped unit with one gate, for the tests."""

    gates = {"f": "forget", "z": "block_input"}
    scale: float = option(1.0, "factor on the candidate")

    def step(self, a, s, p):
        f = sigmoid(a.f)
        return {"h": f * s.h + (1 - f) * self.scale * tanh(a.z)}, {"forget": f}
'''

# What a shell starts in the background ignores SIGINT, and so would all programs that tests start and interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


_NO_BYTE_CODE = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """One thread: the tensors here are small, and test processes run beside each other. No garbage before there are tests.

    The byte code of tests is kept, also where the environment says otherwise: compiling them takes every worker two seconds.
    Where a test asks for more threads, they sleep while they wait: with as many workers as cores, they would spin in each other's
    way, which took ten times as long as the work. It must be said before torch brings OpenMP along.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    if hasattr(config, "workerinput") or not config.getoption("numprocesses", None):  # who only hands out tests needs no torch
        config.stash[_NO_BYTE_CODE], sys.dont_write_bytecode = sys.dont_write_bytecode, False
        gc.disable()  # until `pytest_collection_finish`: what modules define stays; looking through it took half of the time
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


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A user's file with a cell named `damped`."""
    path = tmp_path / "damped.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture(autouse=True)
def own_registries():
    """What a test adds to the registries is gone behind it. Not by the test's own monkeypatch, which would then end last."""
    from gatelab.cells import CELLS
    from gatelab.tasks import TASKS

    with pytest.MonkeyPatch.context() as patch:
        for registry in (CELLS, TASKS):
            patch.setattr(registry, "_added", dict(registry._added))
        yield


@pytest.fixture
def gatelab(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Calls a command in this process: exit status, stdout, stderr."""
    from gatelab.cli.main import main

    # Most sweeps here are refused or have another launcher; the server of the jobs need not import for seconds ahead of them.
    monkeypatch.setattr("gatelab.sweeps.launchers.local.Local.start_ahead", lambda *_: None)
    descriptions = tmp_path_factory.mktemp("cache")  # of this test alone, and not among the files that it looks at
    monkeypatch.setattr("gatelab.sweeps.described.cache_folder", lambda part: descriptions / part)

    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(list(arguments))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


@pytest.fixture
def composed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands of this test share what Hydra makes of their choices, as the jobs of one command do."""
    from gatelab.sweeps.jobs import compose

    compose.register_schemas()
    monkeypatch.setattr(compose, "register_schemas", lambda: None)
    monkeypatch.setattr(compose.Composer, "_compositions", compose.Composer()._compositions)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Calls the installed command in a process of its own, in an empty folder and without any account."""
    # WANDB_SERVICE among them: W&B sets it in a process that used it, and a child would join a service that is about to end.
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    program = str(Path(sys.executable).parent / "gatelab")

    def call(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([program, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=900)

    return call


def pytest_collection_finish(session: pytest.Session) -> None:
    """The garbage collector looks at what tests make, not at modules and cases."""
    sys.dont_write_bytecode = session.config.stash.get(_NO_BYTE_CODE, sys.dont_write_bytecode)
    gc.freeze()
    gc.enable()


def pytest_unconfigure() -> None:
    """Python ends as elsewhere: extension modules that look for what was never freed find nothing, and print nothing."""
    gc.unfreeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is slow comes first: a long test among the last ones would leave all other cores idle."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
