"""Completion: of commands, options, registry names and overrides, and in a real bash."""

import fcntl
import os
import pty
import select
import shutil
import signal
import struct
import sys
import termios
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
        ("gatelab train cell=peep", ["cell=peephole"]),
        ("gatelab train -m cell=lstm,peep", ["cell=lstm,peephole"]),
        ("gatelab train model.h", ["model.hidden_size="]),
        ("gatelab train mod", ["model."]),
        ("gatelab train hydra", ["hydra.", "hydra/launcher=", "hydra/sweeper="]),
        ("gatelab train hydra.", ["hydra.launcher.", "hydra.sweeper."]),
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
        ("gatelab explain cell=gated_l", ["cell=gated_leaky"]),
        ("gatelab bench addi", []),
        ("gatelab diff lstm noa", ["noaf"]),
        ("gatelab list ", ["cells", "tasks"]),
        ("gatelab kernels show gated_l", ["gated_leaky"]),
        ("gatelab compare --format ma", ["markdown"]),
        ("gatelab compare runs --base", ["--baseline"]),
        ("gatelab plot --figure gradient-l", ["gradient-lag"]),
        ("gatelab nonsense ", []),
        ("gatelab explain 'lst", []),
    ],
)
def test_what_a_line_becomes(line, expected) -> None:
    assert complete(line) == expected


def test_no_cell_is_described_before_its_options_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gatelab.cli.candidates.described", lambda *_: pytest.fail("it is described"))
    for word in ("", "ce", "cell=", "task=a", "model.", "hydra.launcher."):
        assert complete(f"gatelab train {word}")


def test_all_names_are_offered() -> None:
    assert complete("gatelab train cell=") == [f"cell={name}" for name in CELLS.names()]
    assert complete("gatelab train task=") == [f"task={name}" for name in TASKS.names()]


# What is typed, with a tab, and the arguments that `gatelab` is called with behind it.
TYPED = {
    "gatelab li\tcells": "list cells",
    "gatelab train cell=peep\t": "train cell=peephole",
    "gatelab train -m cell=lstm,peep\t": "train -m cell=lstm,peephole",
    "gatelab train cell=attention cell.wi\t5": "train cell=attention cell.window=5",
    "gatelab train hydra/launcher=lo\t": "train hydra/launcher=local",
    "gatelab train model.hid\t8": "train model.hidden_size=8",
    "gatelab compare --form\t json": "compare --format json",
    "gatelab resume mi\t": "resume mine",
}
# How a shell is started without the files of its user, and what makes it ready.
SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "PS1='READY''> '", 'eval "$(gatelab completion bash)"'),
    "zsh": (["zsh", "-f", "-i"], "PS1='READY''> '; unsetopt zle_bracketed_paste", 'eval "$(gatelab completion zsh)"'),
    "fish": (["fish", "--no-config", "-i"], "function fish_prompt; echo -n READY'> '; end", "gatelab completion fish | source"),
}


class Terminal:
    """A shell at a terminal of its own.

    Args:
        command: that starts it; folder: where it is, with the program `gatelab`.
    """

    def __init__(self, command: list[str], folder: Path) -> None:
        self.seen = ""
        environment = {"PATH": f"{folder}:/usr/local/bin:/usr/bin:/bin", "HOME": str(folder), "TERM": "dumb", "LANG": "C.UTF-8"}
        environment |= {"PYTHONPATH": str(Path(__file__).parents[2]), "GATELAB_CACHE": str(folder / "cache")}
        self.process, self.handle = pty.fork()
        if not self.process:
            os.chdir(folder)
            os.execvpe(command[0], command, environment)
        fcntl.ioctl(self.handle, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))  # rows, columns

    def type(self, text: str) -> None:
        os.write(self.handle, text.encode())

    def wait_for(self, text: str) -> None:
        """Reads until the text stands there; what is read goes."""
        while text not in self.seen:
            ready, _, _ = select.select([self.handle], [], [], 60)
            assert ready, f"{text!r} does not come: {self.seen!r}"
            self.seen += os.read(self.handle, 4096).decode("utf-8", "replace")
        self.seen = self.seen.partition(text)[2]

    def close(self) -> None:
        os.close(self.handle)
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)


@pytest.mark.slow
@pytest.mark.parametrize("shell", SHELLS)
def test_at_a_terminal(shell: str, tmp_path: Path) -> None:
    command, prompt, load = SHELLS[shell]
    if shutil.which(command[0]) is None:
        assert not os.environ.get("CI"), f"{shell} is not installed"
        pytest.skip(f"{shell} is not installed")
    program = tmp_path / "gatelab"  # shows what it is called with
    python = f'exec "{sys.executable}" -m gatelab "$@"'
    program.write_text(f'#!/bin/sh\ncase "$1" in --complete|completion) {python};; *) echo "GOT<$*>";; esac\n')
    program.chmod(0o755)
    sweep = tmp_path / "runs" / "sweeps" / "mine"
    sweep.mkdir(parents=True)
    (sweep / "plan.json").write_text("{}")
    terminal = Terminal(command, tmp_path)
    try:
        for line in (prompt, load):
            terminal.type(f"{line}\n")
            terminal.wait_for("READY> ")
        for typed, expected in TYPED.items():
            terminal.type(f"{typed}\n")
            terminal.wait_for(f"GOT<{expected}>")
            terminal.wait_for("READY> ")
    finally:
        terminal.close()
