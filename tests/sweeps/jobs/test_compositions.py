"""Composing many jobs at once gives what Hydra gives for each."""

from dataclasses import asdict
from pathlib import Path

import pytest
from hydra import compose as hydra_compose
from hydra import initialize_config_dir

from gatelab.errors import UserError
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.search.expand import compose_jobs, expand

SWEEPS = {
    "values": ["seed=0,1", "model.hidden_size=8", "optimizer.lr=1e-3,0.5", "trainer.clip_norm=null,2", "logger.notes='a b'"],
    "choices": ["cell=lstm,gru", "task=adding,copying", "optimizer=sgd", "task.length=12,20", "trainer=debug"],
    "a choice of files": ["experiment=demo/adding,demo/digits", "seed=3,4", "model.num_layers=2"],
    "additions and dictionaries": ["schedule={name: linear, final: 0.5},{name: cosine}", "seed=0,1", "logger.tags=[a],[b,c]"],
    "interpolations": ["model.hidden_size=8,9", "trainer.batch_size='${model.hidden_size}'", "out=a/${hydra.job.name},b"],
    "directories": ["hydra.run.dir='x/${seed}'", "seed=0,1", "hydra.launcher.n_jobs=2"],
    "the same key in a choice and a value": ["cell=lstm,cifg", "cell.forget_bias=0,1.5", "hydra/launcher=basic"],
    "random": ["hydra/sweeper=random", "hydra.sweeper.trials=3", "optimizer.lr=tag(log,interval(1e-4,1e-2))", "cell=lstm,gru"],
}


@pytest.mark.slow
@pytest.mark.parametrize("sweep", SWEEPS.values(), ids=SWEEPS.keys())
def test_every_job_is_hydras(sweep):
    compose.register_schemas()
    overrides = compose.parse([*sweep, "sweep=s"])
    found = compose_jobs(overrides, sweep=True)
    assert len(found) > 1
    with initialize_config_dir(str(compose.conf_folder()), **compose.VERSION_BASE):
        for job, given in zip(found, expand(overrides, True), strict=True):
            alone = hydra_compose("train", given, return_hydra_config=True)
            assert asdict(job.config) == asdict(compose.to_config(alone))
            assert job.path == Path(alone.hydra.run.dir)


def test_many_seeds_are_composed_once(monkeypatch):
    compose.register_schemas()
    calls = []
    monkeypatch.setattr(compose, "_composed", lambda given, whole=compose._composed: calls.append(given) or whole(given))
    jobs = compose_jobs(compose.parse(["cell=lstm,gru", "seed=range(50)", "task.length=7", "sweep=s"]), sweep=True)
    assert len({job.path for job in jobs}) == 100
    assert len(calls) == 2
    assert not any("seed" in item for call in calls for item in call)


@pytest.mark.slow
@pytest.mark.parametrize("value", ["model.hidden_size=8,x", "model.hiden_size=8,9", "seed=0,1.5"])
def test_what_hydra_refuses_is_refused(value):
    compose.register_schemas()
    with pytest.raises(UserError, match=r"hidden_size|seed"):
        compose_jobs(compose.parse([value, "sweep=s"]), sweep=True)


def test_the_expression_of_the_directory_is_the_one_in_the_configuration():
    text = (compose.conf_folder() / "train.yaml").read_text()
    assert f'run: {{dir: "{compose.RUN_DIRECTORY}"}}' in text


def test_options_of_hydra_itself_hide_no_job_that_was_composed():
    compose.register_schemas()
    given = ["hydra/launcher=basic", "hydra.verbose=false", "cell=lstm", "seed=0,1", "sweep=s"]
    composer = compose.Composer()
    jobs = compose_jobs(compose.parse(given), sweep=True, composer=composer)
    assert len(jobs) == 2
    for seed, job in enumerate(jobs):
        overrides = ["cell=lstm", f"seed={seed}", "sweep=s"]  # as Hydra tells its launchers
        assert composer.is_planned(overrides)
        assert composer.job_of(overrides, lambda: pytest.fail("it was composed again")) is job


def test_what_a_search_thinks_of_later_is_composed_once(monkeypatch):
    compose.register_schemas()
    calls = []
    monkeypatch.setattr(compose, "_composed", lambda given, whole=compose._composed: calls.append(given) or whole(given))
    rates = (0.1, 0.25, 0.5)
    composer = compose.Composer()
    found = [composer.further_job(["cell=lstm", f"optimizer.lr={rate}", "sweep=s"]) for rate in rates]
    assert tuple(job.config.optimizer.lr for job in found) == rates
    assert len({job.path for job in found}) == 3
    assert len(calls) == 1


@pytest.mark.parametrize("value", ["model.hidden_size=x", "model.hiden_size=8", "seed=1.5"])
def test_one_composition_is_enough_to_refuse_a_value(value, monkeypatch):
    compose.register_schemas()
    calls = []
    monkeypatch.setattr(compose, "_composed", lambda given, whole=compose._composed: calls.append(given) or whole(given))
    composer = compose.Composer()
    for _ in range(2):
        with pytest.raises(UserError, match=r"hidden_size|seed"):
            compose_jobs(compose.parse([value]), sweep=False, composer=composer)
    assert calls == [[]]
