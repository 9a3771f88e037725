"""Completion: of commands, options, registry names and overrides, and in a real bash."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gatelab.cells import CELLS
from gatelab.cli.candidates import complete
from gatelab.tasks import TASKS


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("gatelab tr", ["train"]),
        ("gatelab train ta", ["task.", "task="]),
        ("gatelab train cell=ls", ["cell=lstm"]),
        ("gatelab train -m cell=lstm,gr", ["cell=lstm,gru"]),
        ("gatelab train model.h", ["model.hidden_size="]),
        ("gatelab train mod", ["model."]),
        ("gatelab train hydra/launcher=lo", ["hydra/launcher=local"]),
        ("gatelab train --dr", ["--dry-run"]),
        (
            "gatelab train hydra/sweeper=",
            ["hydra/sweeper=basic", "hydra/sweeper=grid", "hydra/sweeper=optuna", "hydra/sweeper=random"],
        ),
        ("gatelab train cell=attention cell.sc", ["cell.score="]),
        ("gatelab train cell=attention cell.score=", ["cell.score=additive", "cell.score=dot"]),
        ("gatelab train -m cell=lstm,cifg cell.pe", ["cell.peepholes="]),
        ("gatelab train cell=cifg cell.peepholes=", ["cell.peepholes=false", "cell.peepholes=true"]),
        ("gatelab train cell.sc", []),  # not an option of the default cell
        ("gatelab train task=copying task.le", ["task.length="]),
        ("gatelab train cell=nonsense cell.f", []),
        ("gatelab train trainer.val_", ["trainer.val_every="]),
        ("gatelab train logger.mode=o", ["logger.mode=offline", "logger.mode=online"]),
        ("gatelab train machine.progress=", ["machine.progress=false", "machine.progress=true"]),
        ("gatelab train -m hydra.launcher.n_", ["hydra.launcher.n_jobs="]),
        ("gatelab train -m hydra/sweeper=random hydra.sweeper.tr", ["hydra.sweeper.trials="]),
        ("gatelab train experiment=demo/a", ["experiment=demo/adding"]),
        ("gatelab explain attention cell.sc", ["cell.score="]),
        ("gatelab explain addi", ["adding"]),
        ("gatelab explain cell=gat", ["cell=gated_leaky"]),
        ("gatelab bench addi", []),
        ("gatelab list ", ["cells", "tasks"]),
        ("gatelab kernels show gat", ["gated_leaky"]),
        ("gatelab compare --format ma", ["markdown"]),
        ("gatelab compare runs --base", ["--baseline"]),
        ("gatelab plot --figure gradient-l", ["gradient-lag"]),
        ("gatelab nonsense ", []),
        ("gatelab explain 'lst", []),
    ],
)
def test_what_a_line_becomes(line, expected) -> None:
    assert complete(line) == expected


def test_all_names_are_offered() -> None:
    assert complete("gatelab train cell=") == [f"cell={name}" for name in CELLS.names()]
    assert complete("gatelab train task=") == [f"task={name}" for name in TASKS.names()]


@pytest.mark.slow
def test_in_bash(tmp_path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    program = tmp_path / "gatelab"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gatelab "$@"\n')
    program.chmod(0o755)
    script = tmp_path / "try.sh"
    script.write_text(
        'eval "$(gatelab completion bash)"\n'
        'COMP_LINE="gatelab train cell=ls"; COMP_POINT=${#COMP_LINE}; _gatelab 2>/dev/null; echo "${COMPREPLY[@]}"\n'
        'COMP_LINE="gatelab li"; COMP_POINT=${#COMP_LINE}; _gatelab 2>/dev/null; echo "${COMPREPLY[@]}"\n'
    )
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([bash, str(script)], capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.stdout.splitlines() == ["lstm", "list"], done.stderr
