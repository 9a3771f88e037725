"""How the tests of the command line call it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gatelab.cells import CELLS
from gatelab.cli.main import main
from gatelab.tasks import TASKS

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


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A user's file with a cell named `damped`."""
    path = tmp_path / "damped.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture(autouse=True)
def own_registries(monkeypatch: pytest.MonkeyPatch):
    """What a test adds to the registries is gone behind it."""
    for registry in (CELLS, TASKS):
        monkeypatch.setattr(registry, "_added", dict(registry._added))


@pytest.fixture
def gatelab(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Calls a command in this process: exit status, stdout, stderr."""
    # Most sweeps here are refused or have another launcher; the server of the jobs need not import for seconds ahead of them.
    for start in ("gatelab.cli.main._import_ahead", "gatelab.sweeps.launch.local.start"):
        monkeypatch.setattr(start, lambda: None)

    def call(*arguments: str) -> tuple[int, str, str]:
        status = main(list(arguments))
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return call


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
