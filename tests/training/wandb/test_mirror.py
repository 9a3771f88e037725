"""Mirrors of the metrics: W&B offline files are read back, and a broken mirror never ends a run."""

import csv
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gatelab.cells import CELLS
from gatelab.config import SGD, Logger, Model
from gatelab.training.failures import RunFailedError
from gatelab.training.fit import fit
from gatelab.training.module import SequenceModule
from gatelab.training.wandb import media
from gatelab.training.wandb.account import wandb_offline


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
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300).stdout
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
                assert float(mirrored[key, step]) == pytest.approx(value), key  # "Infinity" is a string
        for key, (steps, counts) in run.histograms().items():
            assert mirrored[f"{key}.values", steps[0]] == counts[0]
        assert rows
        assert all("trainer/global_step" in row for row in rows)


@pytest.mark.slow
def test_a_dashboard_finds_everything_that_is_promised(small, tmp_path, monkeypatch):
    """Axes, summaries, plots, tables, artifacts, code and environment in the offline file itself, and the files that it names."""
    name = "own_" + 16 * "name"  # longer than a tag of W&B
    plugin = tmp_path / f"{name}.py"
    plugin.write_text(
        "from dataclasses import dataclass\nfrom gatelab.cells.lstm import LSTM\n\n"
        '@dataclass(frozen=True)\nclass Own(LSTM):\n    """Of a user."""\n'
    )
    monkeypatch.setattr(CELLS, "_added", dict(CELLS._added))
    logger = Logger(name="wandb", notes="for the tests", tags=["night"], media_every=10)
    run = fit(small(cell={"name": name}, logger=logger, model=Model(hidden_size=4, num_layers=2), plugins=[str(plugin)]))
    (file,) = (run.path / "wandb").glob("offline-run-*/*.wandb")
    records = inspect(file)

    def of(kind: str) -> list[dict[str, Any]]:
        return [record[kind] for record in records if record["type"] == kind]

    assert of("run")[0]["notes"] == "for the tests"
    assert of("run")[0]["tags"] == [name[:64], "adding", "night"]
    axes = {metric.get("name", metric.get("glob_name")): metric for metric in of("metric")}
    assert axes["*"]["step_metric"] == axes["val/mse"]["step_metric"] == "trainer/global_step"
    assert axes["val/mse"]["summary"] == {"min": True, "last": True}
    summary: dict[str, Any] = {}
    for update in of("summary"):
        summary |= update["update"]
    scores = run.metrics()["val/mse"][1]
    assert summary["val/mse"] == pytest.approx({"min": min(scores), "last": scores[-1]})
    assert summary["parameters"] == run.summary()["parameters"]
    assert summary["best_step"] == run.summary()["best_step"]
    media = {row["trainer/global_step"]: row for row in history(records) if "table/units.nrows" in row}
    assert media.keys() == {10, 20}
    for row in media.values():
        assert row["table/units.nrows"] == 2 * 3 * 4  # layers, gates, units
        assert row["table/timescales.nrows"] == 2 * 4
        for layer in "01":
            plots = [f"plot/gate/{layer}/{gate}" for gate in ("input", "forget", "output")] + [f"plot/flow/{layer}"]
            for key in plots:
                figure = json.loads((file.parent / "files" / row[f"{key}.path"]).read_text())
                assert figure["data"][0]["type"] == ("heatmap" if "gate" in key else "scatter")
                assert figure["layout"]["xaxis"]["title"]["text"]
    heat = json.loads((file.parent / "files" / media[20]["plot/gate/0/forget.path"]).read_text())["data"][0]
    steps, means = run.arrays()["gate/0/forget/units/mean"]
    assert heat["x"] == steps
    assert heat["z"] == [list(unit) for unit in zip(*means, strict=True)]
    artifacts = {artifact["type"]: artifact for artifact in of("artifact")}
    assert "best" in artifacts["model"]["aliases"]
    files = {entry["path"]: Path(entry["local_path"]) for entry in artifacts["model"]["manifest"]["contents"]}
    assert files["best.ckpt"] == run.path / "checkpoints" / "best.ckpt"
    assert files.keys() == {"best.ckpt", "config.json", "provenance.json", "summary.json"}
    code = {entry["path"] for entry in artifacts["code"]["manifest"]["contents"]}
    assert {"gatelab/cells/lstm.py", "gatelab/training/fit.py", f"plugins/cell/{name}.py"} <= code
    assert (file.parent / "files" / "requirements.txt").read_text()
    assert of("environment")[0]["python"].startswith("CPython")


@pytest.mark.slow
def test_an_interrupted_offline_run_is_whole_in_one_folder(small, monkeypatch):
    """W&B cannot go on with an offline run: the second one begins with what the first had sent up to the checkpoint."""
    config = small(logger=Logger(name="wandb"), trainer={"log_every": 1})
    original = SequenceModule.training_step

    def interrupted(self, batch, index):
        if self.global_step == 14:
            raise KeyboardInterrupt
        return original(self, batch, index)

    with monkeypatch.context() as patch:
        patch.setattr(SequenceModule, "training_step", interrupted)
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            fit(config)
    run = fit(config)
    (file,) = (run.path / "wandb").glob("offline-run-*/*.wandb")
    records = inspect(file)
    assert next(record["run"] for record in records if record["type"] == "run")["run_id"] == run.status["id"]
    rows = history(records)
    assert [row["trainer/global_step"] for row in rows] == list(range(1, 21))
    for key, (steps, values) in run.metrics().items():
        found = {row["trainer/global_step"]: float(row[key]) for row in rows if key in row}
        assert found == pytest.approx(dict(zip(steps, values, strict=True))), key
    for key, (steps, counts) in run.histograms().items():
        found = {row["trainer/global_step"]: row[f"{key}.values"] for row in rows if f"{key}.values" in row}
        assert found == dict(zip(steps, counts, strict=True))


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
        monkeypatch.setattr(wandb.Run, "log", broken)
    with caplog.at_level(logging.WARNING):
        run = fit(small(logger=Logger(name="wandb")))
    assert run.state == "finished"
    said = [record.message for record in caplog.records if "W&B is no longer used" in record.message]
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
    settings, offline = seen  # it is tried once, and then recorded for later
    assert offline is not None
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


@pytest.mark.slow  # it imports Plotly
def test_figures_and_tables_are_those_of_the_slower_classes():
    """A figure has Plotly's own look, and a table the column types that W&B finds from all rows."""
    import plotly.graph_objects as go
    import wandb

    figure = media._figure([{"type": "heatmap", "x": [1, 2], "z": [[0.1, None]]}], "title", "x", "y", {"type": "log"})
    plain = {"data": figure["data"], "layout": {key: value for key, value in figure["layout"].items() if key != "template"}}
    written = json.loads(Path(media._plotly()(figure)._path or "").read_text())
    assert written == go.Figure(plain).to_plotly_json()
    rows: list[list[Any]] = [["0", "forget", None, None], ["0", "forget", 1, 0.5], ["1", "forget", 2, None]]
    table, slower = media._table([*"abcd"], rows), wandb.Table(columns=[*"abcd"], data=rows)
    assert table.data == slower.data
    assert table._column_types == slower._column_types
