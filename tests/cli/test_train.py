"""`gatelab train` as a user calls it, in a process of its own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from held import hold

from gatelab.runs import find_runs

pytestmark = pytest.mark.slow

TINY = ["trainer.max_steps=4", "trainer.val_every=2", "trainer.batch_size=4", "model.hidden_size=4"]


def test_one_run(shell, gatelab, tmp_path, monkeypatch):
    done = shell("train", "cell=cifg", "cell.forget_bias=2", "task=adding", "task.length=6", "seed=3", *TINY)
    assert done.returncode == 0, done.stderr
    assert "test mse" in done.stderr
    assert "chance 0.1667" in done.stderr
    assert "Traceback" not in done.stderr
    (run,), skipped = find_runs([tmp_path / "runs"])
    assert not skipped
    assert run.state == "finished"
    assert run.config["cell"]["forget_bias"] == 2
    assert run.path.name.startswith("cifg-adding-s3-")
    assert list(run.path.glob("wandb/offline-run-*/*.wandb"))
    assert (run.path / ".hydra" / "config.yaml").exists()
    monkeypatch.chdir(tmp_path)
    status, _, err = gatelab("train", "cell=cifg", "cell.forget_bias=2", "task=adding", "task.length=6", "seed=3", *TINY)
    assert status == 0
    assert "already finished" in err


def test_a_sweep_with_a_plugin_of_which_one_job_fails(shell, gatelab, plugin, tmp_path, monkeypatch):
    (plugin.with_name("squash.py")).write_text("from torch import tanh as squash\n")  # found in the processes of the jobs, too
    plugin.write_text(
        plugin.read_text().replace(
            "from torch import sigmoid, tanh", "from squash import squash as tanh\nfrom torch import sigmoid"
        )
    )
    arguments = ["train", "-m", f"plugins=[{plugin.name}]", "cell=damped", "task=adding", "task.length=6", *TINY]
    done = shell(*arguments, "optimizer=sgd", "optimizer.lr=0.1,1e30", "trainer.clip_norm=null", "hydra.launcher.n_jobs=2")
    assert done.returncode == 1
    assert "1 of 2 runs finished" in done.stderr
    assert "The training loss is" in done.stderr
    assert "Traceback" not in done.stderr
    runs, _ = find_runs([tmp_path / "runs"])
    assert sorted(run.state for run in runs) == ["failed", "finished"]
    assert len({run.config["sweep"] for run in runs}) == 1
    (folder,) = (tmp_path / "runs" / "sweeps").iterdir()
    assert len(list(folder.glob("wandb/offline-run-*"))) == 2
    monkeypatch.chdir(tmp_path)
    rows = json.loads(gatelab("compare", "runs", "--format", "json")[1])["rows"]
    assert sorted((row["n"], row["diverged"], row["failed"]) for row in rows) == [(1, 0, 0), (1, 1, 0)]
    status = json.loads(gatelab("status", "runs", "--format", "json")[1])
    assert status["counts"] == {"done": 1, "diverged": 1}  # of the plan, too, nothing is left
    status, _, err = gatelab("report", "runs", "-o", "page.html")
    assert status == 0, err
    assert "The training loss is" in (tmp_path / "page.html").read_text()


def test_a_killed_run_goes_on(gatelab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    task, held = hold(tmp_path, at=50)
    arguments = ["train", "cell=rnn", *task, "task.length=20", "trainer.max_steps=100", "trainer.val_every=20"]
    arguments += ["model.hidden_size=16", "model.dropout=0.2", "trainer.patience=null", "logger=none"]
    held.unlink()
    assert gatelab(*arguments, "out=whole")[0] == 0
    held.touch()
    program = str(Path(sys.executable).parent / "gatelab")
    process = subprocess.Popen([program, *arguments, "out=killed"], cwd=tmp_path, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("killed/*/checkpoints/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    held.unlink()
    (killed,), _ = find_runs([tmp_path / "killed"])
    assert killed.state == "running"
    assert gatelab(*arguments, "out=killed")[0] == 0
    (whole, resumed), _ = find_runs([tmp_path / "killed", tmp_path / "whole"])
    assert {whole.state, resumed.state} == {"finished"}
    assert whole.summary()["test"] == resumed.summary()["test"]
    first, second = (
        {key: value for key, value in run.metrics().items() if not key.startswith("time/")} for run in (whole, resumed)
    )
    assert first == second


@pytest.mark.parametrize(
    ("number", "sweep"),
    [(signal.SIGINT, []), (signal.SIGINT, ["-m"]), (signal.SIGTERM, ["-m", "hydra/launcher=basic"])],
    ids=["ctrl-c", "ctrl-c of a sweep", "sigterm of a sweep in one process"],
)
def test_a_stopped_command_says_so_and_goes_on(number, sweep, shell, tmp_path):
    task, held = hold(tmp_path, at=50)
    arguments = ["train", *sweep, "cell=rnn", *task, "task.length=20", "trainer.val_every=20", "logger=none", "seed=0"]
    arguments += ["trainer.max_steps=100", "model.hidden_size=16", "trainer.patience=null"]
    program = str(Path(sys.executable).parent / "gatelab")
    # A group of its own, so that all of its processes get the signal: what a terminal does at Ctrl-C.
    process = subprocess.Popen([program, *arguments], cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True)
    deadline = time.monotonic() + 300
    while not list(tmp_path.glob("runs/*/checkpoints/last.ckpt")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=300)
    held.unlink()
    assert process.returncode == 128 + number, said
    assert "Traceback" not in said
    assert said.splitlines()[-1] == "gatelab: interrupted"
    assert "the same command resumes it" in said
    (run,), _ = find_runs([tmp_path / "runs"])
    assert run.state == "preempted"
    again = shell(*arguments)
    assert again.returncode == 0, again.stderr
    (run,), _ = find_runs([tmp_path / "runs"])
    assert run.state == "finished"
    assert run.metrics()["val/mse"][0] == list(range(20, 101, 20))


def test_hydras_own_options_work(gatelab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = gatelab("train", "cell=gru", "--cfg", "job")
    assert status == 0
    assert "name: gru" in out


def test_lstm_beats_the_markov_baseline_on_real_chorales(gatelab, mirror, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = gatelab("train", "cell=lstm", "task=jsb", "trainer.max_steps=200", "logger=none")
    assert status == 0, err
    (run,), _ = find_runs([tmp_path / "runs"])
    assert float(run.summary()["test"]["nll"]) < 10.49  # per-key first-order Markov, computed in tests/tasks/test_jsb.py
