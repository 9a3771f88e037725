"""Runs that a search ends early, for real."""

import json
import shlex

import pytest

from gatelab.runs import find_runs
from gatelab.sweeps.search import search

pytestmark = pytest.mark.slow

RUN = ["cell=rnn", "task=reber", "model.hidden_size=4", "trainer.batch_size=4", "logger=none"]
RUN += ["trainer.max_steps=1000", "trainer.val_every=10", "trainer.patience=null", "trainer.probe_every=0"]
SEARCH = ["hydra/sweeper=optuna", "hydra.sweeper.n_trials=9", "hydra.sweeper.n_jobs=1", "hydra.sweeper.sampler=random"]


def test_pruned_runs_are_left_out_counted_and_can_go_on(gatelab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(search, "LOOK_SECONDS", 0.02)  # a run validates 100 times: the search sees most of them on any machine
    given = ["train", "-m", *SEARCH, "hydra.sweeper.pruner=median", *RUN, "optimizer.lr=tag(log, interval(1e-7, 1e-2))"]
    status, out, err = gatelab(*given)
    assert status == 0, err
    runs, _ = find_runs([tmp_path / "runs"])
    pruned = [run for run in runs if run.state == "pruned"]
    assert len(runs) == 9
    assert 1 <= len(pruned) <= 4  # the first five are never pruned
    assert all(run.status["step"] < 1000 for run in pruned)
    assert f"{len(pruned)} pruned" in out
    _, out, err = gatelab("compare", "runs", "--format", "json")
    assert f"{len(pruned)} runs that a search ended early (pruned) are left out." in err
    assert len(json.loads(out)["rows"]) == 9 - len(pruned)
    status, _, err = gatelab(*given)
    assert status == 0, err
    assert "to train" not in err
    status, _, err = gatelab("train", *RUN, shlex.quote(f"optimizer.lr={pruned[0].config['optimizer']['lr']}"))
    assert status == 0, err
    (run,) = (run for run in find_runs([tmp_path / "runs"])[0] if run.path == pruned[0].path)
    assert run.state == "finished"
    assert run.metrics()["val/nll"][0] == list(range(10, 1001, 10))
