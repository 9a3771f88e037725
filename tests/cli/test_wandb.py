"""`gatelab wandb`: the workspace shows what runs send, and what needs an account says so."""

import json
from pathlib import Path

import pytest

from gatelab.cells import CELLS
from gatelab.cli.wandb import _gates, _metrics
from gatelab.config import AdamW, Config, Logger, Model, StandardInit, Trainer
from gatelab.tasks import TASKS
from gatelab.training.fit import fit


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """No key of whoever runs the tests."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))


def test_what_is_compared_comes_from_the_registries() -> None:
    assert set(_metrics()) == {TASKS.get(name).metric for name in TASKS.names()}
    assert {"forget", "input", "output", "update", "reset"} <= set(_gates())
    assert _gates().index("forget") < _gates().index("update")
    assert CELLS.build("lstm").retention in _gates()


@pytest.mark.slow  # a whole run
def test_the_workspace_shows_keys_that_a_run_has(gatelab, tmp_path: Path) -> None:
    status, text, _ = gatelab("wandb", "workspace", "nights", "--entity", "team", "--format", "json")
    assert status == 0
    spec = json.loads(text)
    assert spec
    run = fit(
        Config(
            {"name": "lstm"},
            {"name": "adding", "length": 8},
            AdamW(),
            StandardInit(),
            Model(hidden_size=4),
            trainer=Trainer(max_steps=10, batch_size=4, val_every=10, probe_every=10),
            logger=Logger(name="none"),
            out=str(tmp_path / "runs"),
        )
    )
    families = ("gate/0/input", "gate/0/forget", "gate/0/output", "timescale", "flow_end", "grad", "clip", "val/mse")
    shown = {key for key in run.metrics() if f'"{key}"' in text or f'\\"{key}\\"' in text}
    for family in families:
        assert any(key.startswith(family) for key in shown), family


@pytest.mark.parametrize("view", ["workspace", "report"])
def test_without_an_account_it_says_what_to_do(gatelab, view: str) -> None:
    status, out, err = gatelab("wandb", view, "nights")
    assert (status, out) == (2, "")
    assert "Run `wandb login`, or set WANDB_API_KEY" in err
    assert len(err.splitlines()) == 1


def test_bad_input_is_refused(gatelab) -> None:
    for arguments, said in (
        (("wandb", "report", "nights", "--format", "json"), "--format json goes with workspace"),
        (("wandb", "workspace", "nights", "--layers", "0"), "--layers is 0"),
        (("wandb", "dashboard", "nights"), "invalid choice: 'dashboard'"),
        (("wandb", "workspace"), "PROJECT"),
    ):
        status, _, err = gatelab(*arguments)
        assert status == 2
        assert said in err


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # that package's own, where it is imported here first
def test_a_server_that_refuses_is_one_sentence(gatelab, monkeypatch: pytest.MonkeyPatch) -> None:
    from wandb_workspaces.workspaces import Workspace

    def refuse(self: Workspace) -> None:
        raise RuntimeError("permission denied\n(error 403).")

    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    monkeypatch.setattr(Workspace, "save", refuse)
    status, _, err = gatelab("wandb", "workspace", "nights", "--entity", "team")
    assert status == 2
    assert "the server refused: permission denied (error 403). Check `wandb login --verify`" in err
