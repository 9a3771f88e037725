"""`gatelab importance` behind a search: it knows from the commands what was searched over."""

import pytest

TINY = ["task=adding", "task.length=6", "trainer.max_steps=4", "trainer.val_every=2", "trainer.batch_size=4", "logger=none"]
TINY += ["model.hidden_size=4", "hydra/launcher=basic", "sweep=mine"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # Optuna's own
def test_what_was_searched_over_is_read_off_the_command(gatelab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.yaml").write_text(
        "optimizer: choice(adamw, sgd)\noptimizer.lr: tag(log, interval(1e-4, 1e-1))\n"
        "optimizer.momentum: interval(0.5, 0.9) if optimizer=sgd\n"
    )
    search = [
        "hydra/sweeper=optuna",
        "hydra.sweeper.n_trials=6",
        "hydra.sweeper.space=space.yaml",
        "model.dropout=interval(0, 0.5)",
    ]
    assert gatelab("train", "-m", *search, "cell=lstm,rnn", *TINY)[0] == 0
    status, out, err = gatelab("importance", "mine", "--cell", "rnn", "--resamples", "2")
    assert status == 0, err
    said = " ".join(out.split())
    assert "rnn adding: val mse over 6 runs" in said
    assert "lstm" not in said
    for domain in ("choice(adamw, sgd)", "tag(log, interval(1e-4, 1e-1))", "interval(0, 0.5)"):
        assert domain in said
    assert "Not all runs have optimizer.momentum; there is no share of what only some have." in said
