"""Files that cannot be what they should be: spaces, journals, plans, configurations and outputs are refused in one sentence."""

import json
import os

import pytest

from gatelab.config import build
from gatelab.errors import UserError
from gatelab.runs.sweep import commands
from gatelab.training.wandb.account import wandb_disabled

SEARCH = ["train", "-m", "--dry-run", "logger=none", "hydra/sweeper=optuna"]


def refused(answer: tuple[int, str, str]) -> str:
    status, out, err = answer
    assert (status, out, len(err.strip().splitlines())) == (2, "", 1), err
    return err


def test_a_space_that_is_not_a_text_is_refused(gatelab, tmp_path):
    (tmp_path / "space.yaml").write_bytes(b"\xff\xfe\x00\x01")
    assert "UTF-8 (byte 0)" in refused(gatelab(*SEARCH, f"hydra.sweeper.space={tmp_path}/space.yaml"))


def test_an_option_that_a_space_gives_twice_is_refused(gatelab, tmp_path):
    (tmp_path / "space.yaml").write_text("optimizer.lr: interval(1e-4, 1e-1)\noptimizer.lr: interval(1e-3, 1e-1)\n")
    assert "'optimizer.lr' is given 2 times" in refused(gatelab(*SEARCH, f"hydra.sweeper.space={tmp_path}/space.yaml"))


def test_the_name_of_a_space_can_be_too_long(gatelab):
    assert "File name too long" in refused(gatelab(*SEARCH, f"hydra.sweeper.space={'x' * 300}"))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01\n", b"hello\n"], ids=["bytes", "words"])
def test_a_journal_that_is_none_is_refused(content, gatelab, tmp_path):
    (tmp_path / "log").write_bytes(content)
    given = [f"hydra.sweeper.storage=journal:///{tmp_path}/log", "optimizer.lr=interval(1e-4,1e-2)", f"out={tmp_path}/runs"]
    assert "not a journal of Optuna's" in refused(gatelab(*SEARCH, *given))


def test_a_dry_run_of_a_search_makes_no_storage(gatelab, tmp_path):
    status, _, err = gatelab(*SEARCH, "optimizer.lr=interval(1e-4,1e-2)", f"out={tmp_path}/runs")
    assert status == 0, err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", [{"arguments": ["cell=lstm"]}, {"arguments": ["cell=lstm"], "folder": 3}, {"arguments": ["cell=lstm"], "folder": ""}]
)
def test_a_plan_without_a_folder_is_refused(command, tmp_path):
    (tmp_path / "plan.json").write_text(json.dumps({"runs": {}, "commands": [command]}))
    with pytest.raises(UserError, match=r"plan\.json is damaged"):
        commands(tmp_path)


@pytest.mark.parametrize("content", ["5", "[]", '{"runs": 5, "commands": 5}', '{"runs": {}, "commands": [3]}'])
def test_a_plan_of_numbers_is_refused(content, gatelab, tmp_path):
    (tmp_path / "plan.json").write_text(content)
    assert "plan.json" in refused(gatelab("resume", str(tmp_path)))


WHOLE = {
    "cell": {"name": "lstm"},
    "task": {"name": "adding"},
    "optimizer": {"name": "adamw"},
    **{part: {} for part in ("model", "schedule", "trainer", "logger", "machine")},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trainer": None}, "'trainer' is None"),
        ({"trainer": 3}, "'trainer' is 3"),
        ({"cell": "lstm"}, "'cell' is 'lstm'"),
        ({"task": {}}, "'task' has no name"),
        ({"optimizer": {"name": "adamww"}}, "Unknown optimizer 'adamww'. Did you mean 'adamw'"),
        ({"seed": "x"}, "'seed' is 'x'"),
        ({"extra": 1}, "Unknown option of configuration 'extra'"),
    ],
)
def test_a_configuration_that_lacks_a_part_is_refused(change, message):
    assert build(dict(WHOLE)).seed == 0
    with pytest.raises(UserError) as refusal:
        build(WHOLE | change)
    assert message in str(refusal.value)
    with pytest.raises(UserError, match="'trainer' is missing"):
        build({key: value for key, value in WHOLE.items() if key != "trainer"})


@pytest.mark.parametrize("file", ["/proc/none/x", ".", ""])
def test_a_file_that_cannot_be_written_is_refused(file, gatelab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "cannot be written" in refused(gatelab("report", str(tmp_path), "-o", file))
    assert os.listdir(tmp_path) == []


def test_wandb_that_is_disabled_is_left_out(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_disabled("auto")
    assert not wandb_disabled("offline")
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert not wandb_disabled("auto")


def test_an_error_of_gatelab_is_one_sentence_and_a_status_of_its_own(gatelab, monkeypatch):
    def fail(*_: object) -> None:
        raise KeyError("surprise")

    monkeypatch.setattr("gatelab.cli.main._dispatch", fail)
    status, out, err = gatelab("list", "cells")
    assert (status, out, len(err.splitlines())) == (70, "", 1)
    assert "KeyError: 'surprise'" in err
    assert "GATELAB_TRACEBACK=1" in err
    monkeypatch.setenv("GATELAB_TRACEBACK", "1")
    with pytest.raises(KeyError):
        gatelab("list", "cells")


def test_memory_that_is_not_there_is_one_sentence(gatelab, monkeypatch):
    def fail(*_: object) -> None:
        raise MemoryError("Unable to allocate 1.82 PiB")

    monkeypatch.setattr("gatelab.cli.main._dispatch", fail)
    assert "not enough memory: Unable to allocate 1.82 PiB" in refused(gatelab("list", "cells"))


@pytest.mark.parametrize("command", ["compare", "status", "report", "importance", "inspect", "resume", "list cells"])
def test_a_name_that_is_too_long_is_refused(command, gatelab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(refused(gatelab(*command.split(), "x" * 300))) < 1000
    assert list(tmp_path.iterdir()) == []
