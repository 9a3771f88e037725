"""What each command may import before it works: what it does not need costs its user seconds."""

import subprocess
import sys
from pathlib import Path

import pytest

from gatelab.cli.commands import COMMANDS
from gatelab.runs import RunWriter

TRAINING = {"lightning", "torch._dynamo", "sympy", "sklearn", "wandb"}
TORCH = {"torch", *TRAINING}
HYDRA = {"hydra", "omegaconf"}
LIGHT = TORCH | HYDRA | {"scipy", "numpy", "rich", "joblib", "pooch", "jinja2"}

# Command lines that may import the same, and what they must not. Each group is a process: what one of them imports, all have.
GROUPS: dict[str, tuple[list[str], set[str]]] = {
    "help, messages, completion": (
        [
            *("--help", "--version", "trian", "completion bash"),
            *(f"{command} --help" for command in COMMANDS),
            *("--complete gatelab train cell=ls", "--complete gatelab train hydra.launcher.n"),
            "--complete gatelab train cell=attention cell.sc",  # what is described already
        ],
        LIGHT,
    ),
    "pages on what there is": (
        [
            *("list cells", "list tasks --format json", "explain lstm", "explain attention cell.window=3", "diff lstm cifg"),
            *("doctor", "kernels list", "kernels clear"),
        ],
        TORCH | HYDRA | {"scipy", "numpy"},
    ),
    "what reads run directories": (["status", "compare", "report -o page.html", "importance", "calibrate --help"], TORCH | HYDRA),
    "papers": (["reproduce --list"], TORCH),
    "what makes tensors": (["kernels show lstm", "explain lstm cell.forget_bias=2", "check lstm"], TRAINING),
    "what composes a run": (
        ["train --dry-run cell=lstm task=adding logger=none"],
        {"gatelab.cells.mut1", "gatelab.tasks.jsb", *(TRAINING - {"lightning"})},
    ),
}
PROGRAM = """
import sys
from gatelab.cli.main import main

for line in sys.argv[1].split(";"):
    words = line.split(" ")
    try:
        main(["--complete", " ".join(words[1:])] if words[0] == "--complete" else words)
    except SystemExit:  # after a help page
        pass
print("IMPORTED", *(name for name in sys.argv[2].split() if name in sys.modules))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run, and a cache in which cells and tasks are described."""
    folder = tmp_path_factory.mktemp("imports")
    writer = RunWriter(folder / "runs" / "lstm-adding-s0-x")
    parts = {"cell": {"name": "lstm"}, "task": {"name": "adding"}, "trainer": {"max_steps": 5}, "plugins": []}
    writer.start(parts | {"seed": 0, "data_seed": None}, {}, "0")
    writer.finish({"cell": "lstm", "task": "adding", "metric": "mse", "parameters": 5, "test": {"mse": 1.0}, "val": {}}, 5)
    writer.close()
    imported(["list cells", "list tasks", "explain lstm", "explain attention cell.window=3", "explain cifg"], folder, set())
    return folder


def imported(lines: list[str], folder: Path, forbidden: set[str]) -> set[str]:
    environment = {"GATELAB_CACHE": str(folder / "cache"), "PATH": "/usr/bin:/bin", "HOME": str(folder)}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, ";".join(lines), " ".join(sorted(forbidden))]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=environment)
    assert done.stdout, done.stderr
    _, *names = done.stdout.splitlines()[-1].split()
    assert done.stdout.splitlines()[-1].startswith("IMPORTED"), done.stderr
    assert "This is an error of gatelab" not in done.stderr, done.stderr
    return set(names)


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_commands_import_what_they_need(group: str, folder: Path) -> None:
    lines, forbidden = GROUPS[group]
    assert imported(lines, folder, forbidden) == set()


def test_every_command_is_looked_at() -> None:
    looked_at = {line.split()[0] for lines, _ in GROUPS.values() for line in lines if "--help" not in line}
    training = {"resume", "inspect", "bench"}  # torch, and more
    others = {"dashboard", "plot", "wandb", "calibrate"}  # a server of what `report` writes, Matplotlib, W&B, a simulation
    assert COMMANDS.keys() - looked_at == training | others
