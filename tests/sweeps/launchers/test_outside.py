"""A launcher of another package is one file: Hydra, the preflight, `status` and `resume` treat it as those of gatelab."""

import ast
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore

from gatelab.runs import find_runs, outcome_of
from gatelab.sweeps.contracts import LAUNCHERS
from gatelab.sweeps.jobs import recorded

Call = Callable[..., tuple[int, str, str]]
TINY = ["cell=rnn", "task=adding", "task.length=4", "model.hidden_size=2", "trainer.max_steps=2", "trainer.val_every=1"]
TINY += ["trainer.probe_every=0", "logger=none", "seed=0,1", "sweep=s", "hydra/launcher=countdown"]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type]:
    """The package, as pip leaves it: a module, and an entry point."""
    site = tmp_path / "site"
    metadata = site / "countdown-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "countdown.py").write_text(Path(__file__).with_name("countdown.py").read_text())
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: countdown\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[{LAUNCHERS.package}]\ncountdown = countdown:Countdown\n")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.delitem(sys.modules, "countdown", raising=False)
    LAUNCHERS.__dict__.pop("_installed", None)  # read once in the life of a process
    monkeypatch.chdir(tmp_path)
    yield LAUNCHERS.get("countdown")
    LAUNCHERS.__dict__.pop("_installed", None)
    sys.modules.pop("countdown", None)
    ConfigStore.instance().repo.get("hydra", {}).get("launcher", {}).pop("countdown.yaml", None)


def test_nothing_of_gatelab_names_it(installed: type):
    import gatelab

    for path in Path(gatelab.__file__).parent.rglob("*.py"):
        assert "countdown" not in path.read_text(), path
    assert "countdown" in LAUNCHERS


def texts(path: Path) -> set[str]:
    """The texts of a module that are not documentation."""
    tree = ast.parse(path.read_text())
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    constants = (node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in documentation)
    return {node.value for node in constants if isinstance(node.value, str)}


def test_no_launcher_is_named_outside_of_its_own_files():
    import gatelab

    names = LAUNCHERS.names()
    assert len(names) >= 4
    for path in Path(gatelab.__file__).parent.rglob("*.py"):
        if path.parent.name == "launchers" or path.stem.split("_")[0] in names:  # `slurm_jobs.py` belongs to `slurm`
            continue
        named = {text for text in texts(path) for name in names if text == name or f"hydra/launcher={name}" in text}
        assert not named, path


def test_it_is_looked_at_before_the_first_run(installed: type, gatelab: Call):
    status, _, err = gatelab("train", "-m", *TINY)
    assert status == 2
    assert err.splitlines()[-1] == "gatelab: hydra/launcher=countdown: this machine is closed. Come back later."
    status, _, err = gatelab("train", "-m", *TINY, "hydra.launcher.mosst=3")
    assert status == 2
    assert "Unknown option of hydra.launcher 'mosst'. Did you mean 'most'" in err
    status, _, err = gatelab("train", "-m", *TINY, "hydra.launcher.most=0")
    assert status == 2
    assert "'most' is 0, but it must be at least 1" in err
    assert not Path("runs").exists()


def test_what_it_refuses_is_one_message(installed: type, gatelab: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installed, "open", True, raising=False)
    status, _, err = gatelab("train", "-m", *TINY, "hydra.launcher.most=1")
    assert status == 2
    assert err.splitlines()[-1] == "gatelab: countdown trains no more than 1 runs."
    assert "Traceback" not in err
    assert not find_runs([Path("runs")])[0]


@pytest.mark.slow
def test_it_trains_a_sweep_that_can_be_looked_at_and_resumed(installed: type, gatelab: Call, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(installed, "open", True, raising=False)
    status, _, err = gatelab("train", "-m", *TINY, "hydra.launcher.most=2")
    assert status == 0, err
    assert "1 at once" in err
    assert "2 of 2 runs finished." in err
    runs, _ = find_runs([Path("runs")])
    assert [run.status["launcher"] for run in runs] == ["countdown"] * 2
    assert runs[0].status["started"] > runs[1].status["started"]  # the last one first: it was this launcher
    assert json.loads(gatelab("status", "s", "--format", "json")[1])["counts"] == {"done": 2}
    (runs[0].path / "summary.json").unlink()
    (runs[0].path / "status.json").write_text(json.dumps(runs[0].status | {"state": "preempted"}))
    status, _, err = gatelab("resume", "s")
    assert status == 0, err
    assert "2 runs: 1 already finished" in err
    assert {outcome_of(run.path) for run in runs} == {"finished"}


def test_resuming_repeats_its_harmless_options_alone(installed: type):
    assert recorded._is_harmless("hydra/launcher=countdown")
    assert recorded._is_harmless("hydra.launcher.most=3")
    assert not recorded._is_harmless("hydra.launcher.shut=true")
    assert not recorded._is_harmless("hydra/launcher=another")
