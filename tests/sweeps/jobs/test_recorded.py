"""`gatelab resume`: what a plan has recorded is looked at before it is repeated."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gatelab.cells import CELLS
from gatelab.cli.main import main
from gatelab.errors import UserError
from gatelab.registry.plugins import read_plugin
from gatelab.runs import find_runs
from gatelab.runs.sweep import commands
from gatelab.sweeps.jobs.recorded import _is_harmless, check_command

TINY = ["task=adding", "task.length=4", "trainer.max_steps=2", "trainer.val_every=1", "trainer.batch_size=2", "model.hidden_size=2"]
TINY += ["logger=none", "hydra/launcher=basic", "seed=0,1", "sweep=mine", "trainer.probe_every=0"]
CELL = '''
from dataclasses import dataclass
from pathlib import Path
from gatelab.cells.lstm import LSTM

Path(__file__).with_name("executed").touch()

@dataclass(frozen=True)
class Own(LSTM):
    """Of a user."""
'''


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a sweep with a plugin was trained, once for all tests here."""
    folder = tmp_path_factory.mktemp("trained")
    (folder / "own.py").write_text(CELL)
    before, added = Path.cwd(), CELLS.added()
    os.chdir(folder)
    try:
        assert main(["train", "-m", "plugins=[own.py]", "cell=own", *TINY]) == 0
    finally:
        os.chdir(before)
        CELLS.restore(added)
    (folder / "executed").unlink()
    return folder


@pytest.fixture
def project(trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """That folder, as the current one; one of the two runs was stopped. Afterwards it is as it was."""
    kept = trained.with_name("kept")
    shutil.copytree(trained, kept)
    monkeypatch.chdir(trained)
    run = find_runs(["runs"])[0][0]
    (run.path / "summary.json").unlink()
    (run.path / "status.json").write_text(json.dumps(run.status | {"state": "preempted"}))
    yield trained
    monkeypatch.undo()
    shutil.rmtree(trained)
    kept.rename(trained)


def states() -> list[str]:
    return [run.state for run in find_runs(["runs"])[0]]


@pytest.mark.slow
def test_what_was_noted(project: Path):
    """Paths hold in any folder, and a digest says whether the file is what it was."""
    (command,) = commands(Path("runs/sweeps/mine"))
    assert command["arguments"][1] == f"plugins=[{project}/own.py]"
    assert command["plugins"].keys() == {f"{project}/own.py"}
    for run in find_runs(["runs"])[0]:
        assert run.config["plugins"] == [f"{project}/own.py"]
        assert (run.path / "plugins" / "cell" / "own.py").read_text() == CELL


@pytest.mark.slow
def test_a_changed_plugin_does_not_train_another_sweep(project: Path, gatelab: Callable[..., tuple[int, str, str]]):
    Path("own.py").write_text(CELL + "X = 1\n")
    status, _, err = gatelab("resume", "mine")
    assert status == 2
    assert err.startswith(f"gatelab: '{project}/own.py' has changed since the sweep of {project}/runs/sweeps/mine/plan.json began")
    assert len(err.splitlines()) == 1
    assert not Path("executed").exists()
    assert states() == ["preempted", "finished"]
    Path("own.py").unlink()
    status, _, err = gatelab("resume", "mine", "--trust")
    assert status == 2
    assert f"'{project}/own.py' was not found" in err
    Path("own.py").write_text("# As it was, with a comment.\n" + CELL)
    assert gatelab("resume", "mine")[0] == 0
    assert states() == ["finished"] * 2
    for _ in range(2):  # what it adds to the plan is not repeated beside what was there
        assert gatelab("resume", "mine")[0] == 0
    assert len(commands(Path("runs/sweeps/mine"))) == 2


@pytest.mark.slow
def test_from_another_folder_it_is_to_be_confirmed(project: Path, gatelab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = gatelab("resume", f"{project}/runs/sweeps/mine")
    assert status == 2
    assert f"plan.json names code that does not lie under the current folder: '{project}/own.py'. Nothing of it was" in err
    assert not (project / "executed").exists()
    assert gatelab("resume", f"{project}/runs/sweeps/mine", "--trust")[0] == 0
    os.chdir(project)
    assert states() == ["finished"] * 2


@pytest.mark.slow
def test_another_default_does_not_train_another_sweep(project: Path, gatelab):
    plan = Path("runs/sweeps/mine/plan.json")
    plan.write_text(plan.read_text().replace("task.length=4", "task.length=5"))
    status, _, err = gatelab("resume", "mine")
    assert status == 2
    assert "Resuming would train 2 other runs than the sweep has planned, as own-adding-s0-" in err
    assert states() == ["preempted", "finished"]


@pytest.mark.slow
def test_all_commands_are_looked_at_before_the_first_trains(project: Path, gatelab):
    plan = Path("runs/sweeps/mine/plan.json")
    found = json.loads(plan.read_text())
    evil = found["commands"][0] | {"arguments": ["-m", "hydra.launcher._target_=os.system", "seed=0"]}
    plan.write_text(json.dumps(found | {"commands": [*found["commands"], evil]}))
    status, _, err = gatelab("resume", "mine")
    assert status == 2
    assert "plan.json repeats 'hydra.launcher._target_=os.system', which can execute programs. Nothing was executed." in err
    assert states() == ["preempted", "finished"]


@pytest.mark.parametrize(
    "argument",
    [
        "-m",
        "--multirun",
        "cell=lstm,cifg",
        "cell.forget_bias=2",
        "optimizer.lr='tag(log, interval(1e-4, 1e-2))'",
        "~trainer.patience",
        "+trainer.patience=null",
        "seed=range(10)",
        "out=/some folder/runs",
        "machine.threads=4",
        "experiment=demo/adding",
        "plugins=[/home/me/own.py]",
        "hydra/launcher=slurm",
        "hydra/sweeper=optuna",
        "hydra.sweeper.n_trials=20",
        "hydra.sweeper.space=optimizer",
        "hydra.sweeper.storage=postgresql://me@host:5432/studies?sslmode=require",
        "hydra.launcher.n_jobs=4",
        "hydra.launcher.partition=gpu",
        "hydra.launcher.mem_gb=8",
    ],
)
def test_what_only_says_what_to_train(argument: str):
    assert _is_harmless(argument)


@pytest.mark.parametrize(
    "argument",
    [
        "--config-dir=/foreign",
        "--config-dir",
        "-cd",
        "-cn",
        "--config-name=evil",
        "--config-path=/foreign",
        "--experimental-rerun=config.pickle",
        "--experimental-rerun",
        "--info",
        "hydra.launcher._target_=os.system",
        "+hydra.callbacks.evil._target_=os.system",
        "hydra={launcher: {_target_: os.system}}",
        "hydra.launcher={_target_: os.system}",
        "hydra.searchpath=[file:///foreign]",
        "hydra.job_logging.formatters.simple.class=os.system",
        "hydra/job_logging=/foreign/evil",
        "hydra/launcher=../../../foreign/evil",
        "hydra/launcher=local,slurm",
        "hydra@_global_=evil",
        "hydra.job.env_set.LD_PRELOAD=/foreign/evil.so",
        "hydra.job.chdir=true",
        "hydra.run.dir=/foreign",
        "hydra.launcher.setup=[evil]",
        "hydra.launcher.python=/foreign/python",
        "hydra.launcher.srun_args=[--prolog=evil]",
        "hydra.launcher.submitit_folder=/foreign",
        "hydra.launcher.additional_parameters={prolog: evil}",
        "hydra.launcher.partition=gpu\nevil",
        "hydra.launcher.partition=${oc.env:EVIL}",
        "hydra.launcher.ray.init.address=ray://foreign:10001",
        "+hydra.launcher.ray.init.runtime_env.py_executable=evil",
        "trainer@hydra.launcher=debug",
        "+space=../../../foreign/evil",
        "+foo/bar=../../foreign/evil",
        "+foo=bar",
        "plugins.0=/foreign/evil.py",
        "sweep=x\nevil",
        "out=\x1b[2J",
    ],
)
def test_what_can_execute_programs(argument: str):
    assert not _is_harmless(argument)
    with pytest.raises(UserError, match="which can execute programs"):
        check_command({"arguments": ["-m", argument], "folder": "/"}, False, Path("plan.json"))


@pytest.mark.parametrize("arguments", ["seed=0", [3], None, {"seed": 0}])
def test_a_damaged_plan(arguments: Any):
    with pytest.raises(UserError, match=r"^plan\.json is damaged: the arguments of a command are not a list of strings"):
        check_command({"arguments": arguments}, True, Path("plan.json"))


def test_a_path_is_relative_to_the_folder_of_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """And under the current folder only if it really is."""
    (tmp_path / "then").mkdir()
    (tmp_path / "now").mkdir()
    (tmp_path / "then" / "own.py").write_text(CELL)
    command: dict[str, Any] = {"arguments": ["plugins=[own.py]", "seed=0"], "folder": str(tmp_path / "then")}
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="is damaged: it has no digest of the plugin"):
        check_command(command, False, Path("plan.json"))
    command["plugins"] = {str(tmp_path / "then" / "own.py"): read_plugin(tmp_path / "then" / "own.py").digest}
    assert check_command(command, False, Path("plan.json")) == [f"plugins=[{tmp_path}/then/own.py]", "seed=0"]
    monkeypatch.chdir(tmp_path / "now")
    with pytest.raises(UserError, match="does not lie under the current folder"):
        check_command(command, False, Path("plan.json"))
    assert not (tmp_path / "then" / "executed").exists()
