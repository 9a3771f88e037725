"""A run is looked at with the code and the data that it was trained with, and foreign code is not executed unasked."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gatelab.cells import CELLS
from gatelab.cli.main import main
from gatelab.config import AdamW, Config, Logger, Model, StandardInit, Trainer
from gatelab.errors import UserError
from gatelab.registry.plugins import read_plugin
from gatelab.runs import Run, read_run
from gatelab.runs.files import read_json
from gatelab.tasks import TASKS
from gatelab.training.fit import fit
from gatelab.training.inspection import inspect, load
from gatelab.training.trained import changed_since, check_trust, trained_with

CELL = '''
from dataclasses import dataclass
from pathlib import Path
from gatelab.cells.lstm import LSTM
from helper import scale

Path(__file__).with_name("executed").touch()

@dataclass(frozen=True)
class Mine(LSTM):
    """Mine."""

    def step(self, a, s, p):
        new, gates = super().step(a, s, p)
        return new | {"h": scale(new["h"])}, gates
'''
HELPER = "def scale(h):\n    return 0.5 * h\n"
TASK = '''
from dataclasses import dataclass
from pathlib import Path
from gatelab.tasks import file_hash
from gatelab.tasks.adding import Adding

FILE = Path(__file__).with_name("numbers")  # there, too, where the copy in the run directory stands for the file

@dataclass(frozen=True)
class Sums(Adding):
    """Adding, whose numbers are in a file."""

    def data_hashes(self):
        return {"numbers": file_hash(FILE)}
'''


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = CELLS.added(), TASKS.added()
    yield
    CELLS.restore(before[0])
    TASKS.restore(before[1])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a run was trained: its plugins, their data, and `runs`; once for all tests here."""
    before = CELLS.added(), TASKS.added()
    folder = tmp_path_factory.mktemp("project")
    texts = {"mine.py": CELL, "helper.py": HELPER, "sums.py": TASK, "numbers": "1 2 3"}
    for name, text in texts.items():
        (folder / name).write_text(text)
    (folder / "other.py").write_text("raise SystemExit('another plugin of the command')")
    config = Config(
        cell={"name": "mine"},
        task={"name": "sums", "length": 4},
        optimizer=AdamW(),
        init=StandardInit(),
        model=Model(hidden_size=4),
        trainer=Trainer(max_steps=2, val_every=1, batch_size=4, probe_every=0),
        logger=Logger(name="none"),
        plugins=[str(folder / name) for name in ("other.py", "mine.py", "sums.py")],
        out=str(folder / "runs"),
    )
    fit(config)
    (folder / "executed").unlink()
    CELLS.restore(before[0])
    TASKS.restore(before[1])
    return folder


@pytest.fixture
def run(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """The run, with the folder of the project as the current one; the project is afterwards as it was."""
    kept = project.with_name("kept")
    shutil.copytree(project, kept)
    monkeypatch.chdir(project)
    (path,) = (project / "runs").iterdir()
    yield read_run(path)
    monkeypatch.undo()
    shutil.rmtree(project)
    kept.rename(project)


def scores(run: Run, trust: bool = False) -> Any:
    return inspect(run, "best", "test", 8, trust)["scores"]


@pytest.mark.slow
def test_a_changed_plugin_is_refused_and_the_copy_used_if_trusted(run: Run, project: Path, capsys: pytest.CaptureFixture[str]):
    first = scores(run)
    assert changed_since([run]) == {}
    assert first == pytest.approx(run.summary()["test"])
    (project / "mine.py").write_text("# A comment changes nothing.\n" + CELL)
    assert scores(run) == first
    copy = run.path / "plugins" / "cell" / "mine.py"
    for name, text in (("mine.py", CELL.replace("scale(", "2 * scale(")), ("helper.py", HELPER.replace("0.5", "500"))):
        (project / name).write_text(text)
        (project / "executed").unlink(missing_ok=True)
        kept = (run.path / "inspect.json").read_bytes()
        assert changed_since([run, run]) == {project / "mine.py": 2}
        assert main(["inspect", str(run.path)]) == 2
        err = capsys.readouterr().err
        assert err == (
            f"gatelab: {run.path} was trained with '{project / 'mine.py'}', which has changed since. Restore it, or "
            f"read the copy '{copy}', then add --trust to execute that.\n"
        )
        assert not (project / "executed").exists()
        assert (run.path / "inspect.json").read_bytes() == kept
        assert scores(run, trust=True) == first
        (project / name).write_text(CELL if name == "mine.py" else HELPER)
    for name in ("helper.py", "mine.py", "sums.py"):
        (project / name).unlink()
    with pytest.raises(UserError, match=r"mine\.py', which is gone\. Restore it"):
        load(run, "best")
    assert main(["inspect", str(run.path), "--trust"]) == 0
    assert f"Computed with the run's copy of its plugin, {copy};" in "".join(capsys.readouterr().out.splitlines())
    assert "mine" not in CELLS  # nothing stays behind
    assert main(["compare", "runs"]) == 0
    assert f"'{project / 'mine.py'}' is gone, and one of these runs was trained with it." in capsys.readouterr().err
    (project / "mine.py").write_text("x = 1")
    assert main(["report", "runs"]) == 0
    assert f"'{project / 'mine.py'}' has changed since one of these runs was trained with it." in capsys.readouterr().err


def test_a_changed_copy_is_refused(run: Run, project: Path):
    (project / "mine.py").unlink()
    copy = run.path / "plugins" / "cell" / "mine.py"
    copy.write_text(CELL + "\nX = 1\n")
    with pytest.raises(UserError, match=r"which is gone, and its copy '.*' has changed as well\."):
        trained_with(run, trust=True)
    copy.unlink()
    with pytest.raises(UserError, match=r"which is gone, and the run has no copy of it\. Restore the file\."):
        trained_with(run, trust=True)


def test_from_another_folder_it_is_to_be_confirmed(
    run: Run, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["inspect", str(run.path)]) == 2
    err = capsys.readouterr().err
    assert err == (
        f"gatelab: {run.path / 'config.json'} names code that does not lie under the current folder: '{project / 'mine.py'}', "
        f"'{project / 'helper.py'}'. Nothing of it was executed. Read it, then add --trust to execute it.\n"
    )
    assert not (project / "executed").exists()
    assert not (run.path / "inspect.json").exists()
    assert main(["inspect", str(run.path), "--trust"]) == 0
    assert (run.path / "inspect.json").exists()


def test_a_run_from_elsewhere_does_not_bring_code(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its copies lie under the current folder, and its provenance says whatever it likes."""
    here = tmp_path / "here"
    shutil.copytree(run.path, here / "runs" / "foreign")
    monkeypatch.chdir(here)
    foreign = read_run(Path("runs/foreign"))
    evil = foreign.path / "plugins" / "cell" / "mine.py"
    evil.write_text(CELL)
    origin = read_json(foreign.path / "provenance.json")
    digest = read_plugin(evil).digest
    for path in ("runs/foreign/plugins/cell/mine.py", str(evil.absolute()), "/nowhere/mine.py"):
        origin["plugins"]["cell"] = {"path": path, "sha256": digest}
        (foreign.path / "provenance.json").write_text(json.dumps(origin))
        with pytest.raises(UserError, match="--trust"):
            load(foreign, "best")
    assert not evil.with_name("executed").exists()


def test_the_data_are_compared(run: Run, project: Path):
    (project / "numbers").write_text("1 2 4 8")
    with pytest.raises(UserError, match=r"was trained with data 'numbers' that have changed since\. Restore them"):
        load(run, "best")


def test_a_run_of_an_earlier_version(run: Run, project: Path):
    """It noted the bytes of all plugins of its command, and paths as they were typed."""
    import hashlib

    origin = read_json(run.path / "provenance.json")
    del origin["plugins"]
    names = ("other.py", "mine.py", "sums.py")
    origin["plugin_sha256"] = {name: hashlib.sha256((project / name).read_bytes()).hexdigest() for name in names}
    (run.path / "provenance.json").write_text(json.dumps(origin))
    old = Run(run.path, run.config | {"plugins": [*names]}, run.status)
    assert [path.name for path in trained_with(old, trust=False)] == ["mine.py", "sums.py"]
    (project / "mine.py").write_text(CELL.replace("scale(", "2 * scale("))
    with pytest.raises(UserError, match=r"was trained with 'mine\.py', which has changed since"):
        trained_with(old, trust=False)


@pytest.mark.parametrize("damage", [{}, {"plugins": 3}, {"plugin_sha256": [1]}])
def test_without_digests_the_files_of_the_configuration_count(damage: dict[str, Any], run: Run, project: Path):
    (run.path / "provenance.json").write_text(json.dumps(damage))
    assert [*trained_with(run, trust=False)] == [project / "mine.py", project / "sums.py"]


@pytest.mark.parametrize("noted", [{"cell": 3}, {"cell": {"path": "/x/other.py"}}, {"cell": {"path": "a\0/mine.py"}}])
def test_a_damaged_provenance(noted: dict[str, Any], run: Run, project: Path):
    (run.path / "provenance.json").write_text(json.dumps({"plugins": noted}))
    with pytest.raises(UserError, match=r"Unknown task 'sums'|which is gone"):
        load(run, "best")


def test_what_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here / "cells", there, here / "run" / "plugins"):
        folder.mkdir(parents=True)
    for file in (here / "mine.py", here / "cells" / "mine.py", there / "mine.py", here / "run" / "plugins" / "mine.py"):
        file.write_text("x = 1")
    (here / "link.py").symlink_to(there / "mine.py")
    (here / "linked").symlink_to(there)
    (here / "run" / "config.json").touch()
    (here / "run" / "status.json").touch()
    (here / "user.py").write_text("import helper")
    (here / "helper.py").symlink_to(there / "mine.py")
    monkeypatch.chdir(here)

    def trusted(path: str) -> bool:
        plugin = read_plugin(path)
        check_trust([plugin], True, "x")
        with contextlib.suppress(UserError):
            check_trust([plugin], False, "x")
            return True
        return False

    assert all(map(trusted, ["mine.py", "cells/mine.py", str(here / "mine.py"), "cells/../mine.py", "../here/mine.py"]))
    assert not any(map(trusted, ["../there/mine.py", str(there / "mine.py"), "link.py", "linked/mine.py", "user.py"]))
    assert not trusted("run/plugins/mine.py")  # it came with the run
    os.chdir("run/plugins")
    assert not trusted("mine.py")
    os.chdir("/")
    assert not trusted(str(there / "mine.py"))  # all of the machine is not a folder of the user's
