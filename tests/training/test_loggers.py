"""Mirrors of the metrics: W&B offline files are read back, and a broken mirror never ends a run."""

import csv
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gatelab.config import SGD, Logger
from gatelab.training.fit import RunFailedError, fit
from gatelab.training.mirrors import wandb_offline


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """No key, no settings and no caches of whoever runs the tests."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))


def inspect(file: Path) -> list[dict[str, Any]]:
    """The records of an offline file, as W&B's own tool prints them."""
    command = [str(Path(sys.executable).parent / "wandb"), "leet", "inspect", "--json", str(file)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return [json.loads(line) for line in output.splitlines()]


def history(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record["history"]["item"] for record in records if record["type"] == "history"]


@pytest.mark.slow
def test_a_sweep_in_one_process_makes_closed_runs_with_their_exit_codes(small, tmp_path):
    wandb_logger = Logger(name="wandb", project="test-project")
    runs = [fit(small(logger=wandb_logger, sweep="night", seed=0))]
    with pytest.raises(RunFailedError):
        fit(small(logger=wandb_logger, sweep="night", seed=1, optimizer=SGD(lr=1e30), trainer={"clip_norm": None}))
    runs.append(fit(small(logger=wandb_logger, sweep="night", seed=2)))

    folder = tmp_path / "runs" / "sweeps" / "night" / "wandb"
    files = sorted(folder.glob("offline-run-*/*.wandb"))
    assert len(files) == 3
    read = {file: inspect(file) for file in files}
    assert sorted(records[-1]["exit"].get("exit_code", 0) for records in read.values()) == [0, 0, 1]

    by_id = {next(r["run"] for r in records if r["type"] == "run")["run_id"]: records for records in read.values()}
    for run in runs:
        records = by_id[run.status["id"]]
        head = next(record["run"] for record in records if record["type"] == "run")
        assert head["run_group"] == "night"
        assert head["job_type"] == "adding"
        assert head["tags"] == ["lstm", "adding"]
        assert head["display_name"] == f"lstm-adding-s{run.seed}"
        assert head["project"] == "test-project"
        config = head["config"]["update"]
        assert config["cell"] == {"name": "lstm", "forget_bias": 1}
        assert config["seed"] == run.seed
        rows = history(records)
        # W&B mirrors our own file: every value under its key, at its step.
        mirrored = {(key, row["trainer/global_step"]): value for row in rows for key, value in row.items()}
        for key, (steps, values) in run.metrics().items():
            for step, value in zip(steps, values, strict=True):
                assert mirrored[key, step] == pytest.approx(value), key
        for key, (steps, counts) in run.histograms().items():
            assert mirrored[f"{key}.values", steps[0]] == counts[0]
        assert rows
        assert all("trainer/global_step" in row for row in rows)


@pytest.mark.slow
@pytest.mark.parametrize("breakage", ["absent", "init", "log"])
def test_a_run_survives_a_broken_wandb(small, monkeypatch, caplog, breakage):
    import wandb

    def broken(*args: Any, **kwargs: Any) -> None:
        raise OSError("the disk of W&B is full")

    if breakage == "absent":
        monkeypatch.setitem(sys.modules, "wandb", None)
    elif breakage == "init":
        monkeypatch.setattr(wandb, "init", broken)
    else:
        monkeypatch.setattr(wandb.sdk.wandb_run.Run, "log", broken)
    with caplog.at_level(logging.WARNING):
        run = fit(small(logger=Logger(name="wandb")))
    assert run.state == "finished"
    said = [record.message for record in caplog.records if "W&B is left out" in record.message]
    assert len(said) == 1
    if breakage == "log":  # leave no run open for the tests behind this one
        wandb.finish()


def test_a_wandb_server_that_goes_away_never_holds_a_run_for_ever(small, monkeypatch):
    import wandb

    seen: list[wandb.Settings] = []

    def init(*args: Any, settings: wandb.Settings, **kwargs: Any) -> None:
        seen.append(settings)
        raise OSError("no server here")

    monkeypatch.setattr(wandb, "init", init)
    fit(small(logger=Logger(name="wandb", mode="online"), trainer={"max_steps": 1}))
    (settings,) = seen
    assert 0 < settings.init_timeout <= 60
    assert 0 < settings.finish_timeout <= 60  # 0, its default, waits for as long as the server is away
    assert settings.finish_timeout_raises


def test_csv_holds_what_our_own_file_holds(small):
    run = fit(small(logger=Logger(name="csv")))
    with open(run.path / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    for key, (steps, values) in run.metrics().items():
        found = {int(row["step"]): float(row[key]) for row in rows if row.get(key)}
        assert found == dict(zip(steps, values, strict=True)), key


def test_wandb_is_offline_without_a_key_and_never_asks(monkeypatch, tmp_path):
    assert wandb_offline("auto")
    assert not wandb_offline("online")
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    assert not wandb_offline("auto")
    assert wandb_offline("offline")
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert wandb_offline("auto")
    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.delenv("WANDB_API_KEY")
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password secret\n")
    assert not wandb_offline("auto")
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert wandb_offline("auto")
