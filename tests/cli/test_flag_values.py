"""Every argument of the commands beside `train` with every kind of value: taken, or refused in one message with nothing created.

The arguments come from the signatures, so that a new one is tried without an edit here. A status of 70 is what gatelab says
where it failed itself (see `main`), and so counts as a failure of these tests.
"""

import shutil
from pathlib import Path

import pytest

from gatelab.analysis.papers.paper import SCALES, find_papers
from gatelab.cli.commands import COMMANDS
from gatelab.cli.main import main
from gatelab.cli.train import train
from gatelab.options.signature import parameters
from gatelab.sweeps.papers import papers_folder

VALUES = ["0", "-1", "1.5", "99999999999999999999", "nan", "", "abc", "x" * 300, "\x1b[31m", "/proc/none/x", "."]
RUN = ["logger=none", "trainer.max_steps=2", "task.length=5", "model.hidden_size=4", "machine.progress=false"]
# What a command needs beside the argument that is tried.
ESSENTIAL = {
    "bench": ["--quick"],
    "diff": ["lstm", "gru"],
    "explain": ["lstm"],
    "inspect": ["runs"],
    "kernels": ["show", "lstm"],
    "list": ["cells"],
    "plot": ["--figure", "gradient-lag", "-o", "figure.svg"],
    "report": ["-o", "page.html"],
    "reproduce": [find_papers(papers_folder())[0], "--scale", SCALES[0]],
    "resume": ["sweep"],
    "wandb": ["workspace", "project", "--format", "json"],
}
STUBS = {  # what would take long, or never end
    "bench": {"gatelab.cli.bench._kernels": {}, "gatelab.cli.bench.print_kernels": None},
    "calibrate": {"gatelab.cli.calibrate.measure": ()},
    "check": {"gatelab.cli.check._checked": "fine"},
    "dashboard": {"gatelab.analysis.report.live.Server.serve_forever": None},
    "resume": {"gatelab.cli.resume.train": 0},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished run."""
    folder = tmp_path_factory.mktemp("trained")
    assert main(["train", *RUN, "trainer.val_every=1", f"out={folder}/runs"]) == 0
    return folder


def calls(command: str) -> list[list[str]]:
    """The command with each value of each of its arguments; a positional one takes the place of the first that it needs."""
    essential, found = ESSENTIAL.get(command, []), []
    position = 0
    for parameter in parameters(COMMANDS[command]):
        if parameter.option and parameter.kind is not bool:
            found += [[command, *essential, parameter.flags[-1], value] for value in VALUES]
        elif not parameter.option:
            found += [[command, *essential[:position], value, *essential[position + 1 :]] for value in VALUES]
            position += 1
    return found


def contents(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.mark.slow
@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"train"}))
def test_every_value_of_every_argument_is_taken_or_refused(command, trained, gatelab, composed_once, monkeypatch, tmp_path) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained / "runs", tmp_path / "runs")
    for name, answer in STUBS.get(command, {}).items():
        monkeypatch.setattr(name, lambda *_, answer=answer, **__: answer)
    if command == "reproduce":
        monkeypatch.setattr("gatelab.cli.train.train", lambda given: train([*given, "--dry-run"]))
    failures = []
    for arguments in calls(command):
        before = contents(tmp_path)
        status, out, err = gatelab(*arguments)
        lines = err.strip().splitlines()
        refused = len(lines) == 1 and err.startswith("gatelab: ") and len(err) < 1500 and before == contents(tmp_path)
        if status not in (0, 1, 2) or "Traceback" in err or "\x1b" in out + err or (status == 2 and not refused):
            failures.append(f"{[item[:40] for item in arguments]}: {status} {err[:300]}")
        for made in tmp_path.iterdir():  # none meets what another one left
            if made.name != "runs":
                shutil.rmtree(made) if made.is_dir() else made.unlink()
    assert not failures, "\n".join(failures)
