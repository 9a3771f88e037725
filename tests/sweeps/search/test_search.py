"""A search over a toy objective with a launcher that trains nothing: budgets, retries, and what becomes of trials."""

import json
import math
import re
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState
from searching import BEST_RATE, TINY, launcher, prepare, write_finished

from gatelab.errors import UserError
from gatelab.process.console import Console
from gatelab.runs import RunWriter, find_runs
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.jobs.compose import Composer
from gatelab.sweeps.search.expand import compose_jobs
from gatelab.sweeps.search.results import print_found
from gatelab.sweeps.search.search import Search
from gatelab.sweeps.search.storage import open_storage, without_password, without_passwords
from gatelab.sweeps.search.studies import open_study

LR = "optimizer.lr=tag(log, interval(1e-4, 1e-1))"


@pytest.fixture
def search(tmp_path: Path) -> Callable[..., Search]:
    """The search of a command, in the folder of the test."""
    compose.register_schemas()

    def call(*overrides: str, n_trials: int = 4) -> Search:
        given = ["hydra/sweeper=optuna", f"hydra.sweeper.n_trials={n_trials}", "hydra.sweeper.n_jobs=2"]
        return prepare(compose.parse([*given, *TINY, f"out={tmp_path}", "sweep=s", *overrides]))

    return call


def trained(log: Path) -> list[str]:
    return [line.split()[1] for line in log.read_text().splitlines()] if log.exists() else []


def complete(search: Search) -> list[list[optuna.trial.FrozenTrial]]:
    return [study.get_trials(states=(TrialState.COMPLETE,)) for study in search.studies]


@pytest.mark.slow
def test_trials_are_trained_and_told(search, tmp_path):
    one = search("cell=lstm", LR, n_trials=5)
    assert one.trials_left() == 5
    one.run(launcher(tmp_path / "log"))
    (trials,) = complete(one)
    assert [trial.user_attrs["run"] for trial in trials] == trained(tmp_path / "log")
    for trial in trials:
        value = math.log10(trial.params["optimizer.lr"] / BEST_RATE) ** 2
        assert trial.value == pytest.approx(value, rel=1e-3)
        assert trial.value is not None
        assert trial.user_attrs["test"] == trial.value + 0.5
        assert trial.intermediate_values == {2: trial.value + 1, 4: trial.value}


@pytest.mark.slow
def test_tpe_finds_the_optimum_of_a_toy_and_gathers_there(search):
    later = {}
    for sampler in ("tpe", "random"):
        one = search("cell=lstm", LR, f"hydra.sweeper.sampler={sampler}")
        study = open_study(one.variants[0], one.options, optuna.storages.InMemoryStorage())
        study.optimize(lambda trial: math.log10(trial.suggest_float("lr", 1e-4, 1e-1, log=True) / BEST_RATE) ** 2, n_trials=60)
        later[sampler] = statistics.fmean(trial.value for trial in study.trials[10:] if trial.value is not None)
        if sampler == "tpe":
            assert study.best_value < 0.02**2
    assert later["random"] == pytest.approx(1, abs=0.5)  # the integral of x^2 over U(-2, 1)
    assert later["tpe"] < later["random"] / 3


@pytest.mark.slow
def test_variants_have_equal_budgets_and_begin_with_the_same_draws(search, tmp_path):
    both = search("cell=lstm,gru", "seed=0,1", LR, n_trials=3)
    both.run(launcher(tmp_path / "log"))
    draws = [[trial.params["optimizer.lr"] for trial in trials] for trials in complete(both)]
    assert len(draws) == 4
    assert draws[1:] == draws[:1] * 3
    assert len(set(draws[0])) == 3
    cells = Counter(name.split("-")[0] + name.split("-")[2] for name in trained(tmp_path / "log"))
    assert cells == {"lstms0": 3, "lstms1": 3, "grus0": 3, "grus1": 3}


@pytest.mark.slow
def test_the_same_command_goes_on_and_trains_nothing_twice(search, tmp_path):
    log = tmp_path / "log"
    search("cell=lstm", LR, n_trials=4).run(launcher(log))
    search("cell=lstm", LR, n_trials=4).run(launcher(log))
    assert len(trained(log)) == 4
    search("cell=lstm", LR, n_trials=6).run(launcher(log))
    assert len(trained(log)) == len(set(trained(log))) == 6
    # What is drawn does not depend on the interruption, as far as no trial before it was under way.
    whole = search("cell=lstm", LR, "hydra.sweeper.storage=sqlite:///" + str(tmp_path / "other.db"), n_trials=6)
    whole.run(launcher(log))
    assert len(trained(log)) == 6  # and finished runs of another study are told without being trained


@pytest.mark.slow
def test_a_failed_trial_is_tried_again_by_the_next_command_only(search, tmp_path):
    log = tmp_path / "log"
    one = search("cell=lstm", LR)
    one.run(launcher(log, ends=lambda config, count: count != 1))
    states = [trial.state for trial in one.studies[0].get_trials()]
    assert Counter(states) == {TrialState.COMPLETE: 3, TrialState.FAIL: 1}
    lost = trained(log)[1]
    again = search("cell=lstm", LR)
    assert again.trials_left() == 1
    again.run(launcher(log))
    assert trained(log)[4:] == [lost]
    assert len(complete(again)[0]) == 4
    assert again.trials_left() == 0


@pytest.mark.slow
def test_a_failure_that_lasts_ends(search, tmp_path):
    log = tmp_path / "log"
    for command in (1, 2):
        search("cell=lstm", LR).run(launcher(log, ends=lambda config, count: False))
        assert Counter(trained(log)) == dict.fromkeys(trained(log), command)
    assert len(set(trained(log))) == 4


@pytest.mark.slow
def test_ctrl_c_leaves_a_search_that_goes_on(search, tmp_path):
    log = tmp_path / "log"

    def stop(config, count):
        if count == 2:
            raise KeyboardInterrupt
        return True

    one = search("cell=lstm", LR)
    with pytest.raises(KeyboardInterrupt):
        one.run(launcher(log, ends=stop))
    assert not one.studies[0].get_trials(states=(TrialState.RUNNING,))
    again = search("cell=lstm", LR)
    again.run(launcher(log))
    assert len(complete(again)[0]) == 4
    assert Counter(Counter(trained(log)).values()) == {1: 3, 2: 1}  # the one that was stopped began twice


@pytest.mark.slow
def test_trials_of_a_process_that_was_killed_are_settled_by_their_runs(search, tmp_path):
    one = search("cell=lstm", LR)
    batch = one._batch()  # and it dies before it tells anything
    write_finished(batch[0].job.path, batch[0].job.config, 0.25)
    for item in batch:
        item.trial.set_user_attr("owner", item.trial.user_attrs["owner"] | {"pid": 2**22 + 1, "token": "dead"})
    again = search("cell=lstm", LR)
    again.run(launcher(tmp_path / "log"))
    (trials,) = complete(again)
    assert len(trials) == 4
    assert [trial.value for trial in trials if trial.number == batch[0].trial.number] == [0.25]
    assert batch[1].job.path.name in trained(tmp_path / "log")
    assert batch[0].job.path.name not in trained(tmp_path / "log")


@pytest.mark.slow
def test_a_trial_of_another_machine_is_left_alone_until_it_is_silent(search, tmp_path, monkeypatch):
    one = search("cell=lstm", LR)
    (first, _) = one._batch()
    for item in one._pending:
        item.trial.set_user_attr("owner", item.trial.user_attrs["owner"] | {"host": "elsewhere", "token": "other"})
    again = search("cell=lstm", LR)
    trials = again._trials[0]
    assert [len(found) for found in trials.abandoned()[:2]] == [0, 2]
    assert not trials.abandoned()[2]
    again.studies[0].set_user_attr("beat other", 1)
    assert [len(found) for found in trials.abandoned()[:2]] == [0, 2]
    monkeypatch.setattr("gatelab.sweeps.search.trials.SILENT_SECONDS", -1.0)
    assert {trial.number for trial in trials.abandoned()[0]} == {0, 1}
    again.run(launcher(tmp_path / "log"))
    assert len(complete(again)[0]) == 4
    assert first.job.path.name in trained(tmp_path / "log")


@pytest.mark.slow
def test_diverged_and_pruned_runs_are_pruned_trials_and_not_tried_again(search, tmp_path):
    one = search("cell=lstm", LR, "hydra.sweeper.pruner=median")
    train = launcher(tmp_path / "log")

    def launch(jobs, first):
        if first:
            return train(jobs, first)
        for overrides, end in zip(jobs, ("diverged", "pruned"), strict=True):
            job = Composer().further_job(overrides)
            writer = RunWriter(job.path)
            writer.start(json.loads(json.dumps(job.config, default=vars)), {}, "0" * 10)
            writer.fail("nan", "", None, "diverged") if end == "diverged" else writer.prune("enough")
            writer.close()
        return []

    one.run(launch)
    states = Counter(trial.state for trial in one.studies[0].get_trials())
    assert states == {TrialState.PRUNED: 2, TrialState.COMPLETE: 2}
    again = search("cell=lstm", LR, "hydra.sweeper.pruner=median")
    again.run(launcher(tmp_path / "log"))
    assert len(trained(tmp_path / "log")) == 2
    console = Console(record=True, width=120)
    print_found(again.variants, again.studies, console)
    assert "2 complete, 1 pruned, 1 diverged" in console.export_text()


@pytest.mark.slow
def test_what_was_found_is_printed_with_commands_that_gatelab_takes(search, tmp_path):
    both = search("cell=lstm,gru", LR, "model.dropout=choice(0.0, 0.1)", n_trials=10)
    both.run(launcher(tmp_path / "log"))
    console = Console(record=True, width=200)
    print_found(both.variants, both.studies, console)
    said = console.export_text()
    for cell, study in zip(("lstm", "gru"), both.studies, strict=True):
        (row,) = (line for line in said.splitlines() if line.startswith(f"{cell} adding s0"))
        assert f"{study.best_value:.4g}" in row
        assert f"{study.best_value + 0.5:.4g}" in row
        (command,) = re.findall(rf"gatelab train -m (.*cell={cell} .*)", said)
        jobs = compose_jobs(compose.parse([item.strip("'") for item in command.split()]), sweep=True)
        assert len(jobs) == 10
        assert f"{jobs[0].config.optimizer.lr:.6g}" == f"{study.best_params['optimizer.lr']:.6g}"
    assert "of the variance" not in said  # ten trials determine no share
    runs, _ = find_runs([tmp_path])
    assert len(runs) == 20


@pytest.mark.slow
def test_shares_of_the_variance_are_printed_where_trials_determine_them(search, tmp_path):
    one = search("cell=lstm", LR, "model.dropout=choice(0.0, 0.1)", n_trials=40)
    one.run(launcher(tmp_path / "log"))
    console = Console(record=True, width=200)
    print_found(one.variants, one.studies, console)
    (share,) = re.findall(r"optimizer.lr=\S+ \((\d+)% of the variance\)", console.export_text())
    assert int(share) > 80  # the score depends on nothing else


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("sqlite:////proc/none/study.db", "cannot be used"),
        ("sqlite://", "names no file"),
        ("postgresql://me@127.0.0.1:9/none", "cannot be used: connection failed"),
        ("mysql://me@host/db", "'mysql' is not a storage that gatelab knows"),
        ("study.db", "A storage is sqlite:///FILE"),
        ("postgresql://me@host/db?password=geheim", "set PGPASSWORD"),
    ],
)
def test_a_storage_that_cannot_be_used_is_refused(storage, message, search):
    with pytest.raises(UserError, match=re.escape(message)) as refused:
        search("cell=lstm", LR, f"hydra.sweeper.storage='{storage}'")
    assert "geheim" not in str(refused.value)


def test_a_journal_file_is_a_storage(search, tmp_path):
    journal = search("cell=lstm", LR, f"hydra.sweeper.storage=journal:///{tmp_path}/journal.log")
    journal.run(launcher(tmp_path / "log"))
    assert len(complete(journal)[0]) == 4
    again = search("cell=lstm", LR, f"hydra.sweeper.storage=journal:///{tmp_path}/journal.log")
    assert again.trials_left() == 0


def test_a_password_is_taken_out_of_the_command_and_shown_nowhere():
    url = "postgresql://me:geheim@127.0.0.1:9/none"
    (argument,), passwords = without_passwords([f"hydra.sweeper.storage={url}"])
    assert argument == "hydra.sweeper.storage=postgresql://me@127.0.0.1:9/none"
    assert passwords == {"postgresql://me@127.0.0.1:9/none": "geheim"}
    assert without_password(url) == "postgresql://me:***@127.0.0.1:9/none"
    with pytest.raises(UserError) as refused:
        open_storage(argument.partition("=")[2], passwords)
    assert "geheim" not in str(refused.value)
