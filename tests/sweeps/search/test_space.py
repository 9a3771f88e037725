"""The space of a search: what its lines mean, under which conditions an option is searched, and what is refused."""

from pathlib import Path

import optuna
import pytest

from gatelab.errors import UserError
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.jobs.compose import Composer
from gatelab.sweeps.search.draws import DrawInterval
from gatelab.sweeps.search.expand import compose_jobs, sweeper_of
from gatelab.sweeps.search.space import Space, read_domains
from gatelab.sweeps.search.studies import examples, variants
from gatelab.sweeps.sweepers.optuna import Optuna

SPACE = """
optimizer: choice(adamw, sgd)     # a comment
optimizer.lr: tag(log, interval(1e-4, 1e-1))
optimizer.momentum: interval(0.5, 0.99) if optimizer=sgd
optimizer.nesterov: true if optimizer=sgd
cell.window: int(interval(5, 50)) if cell=attention and optimizer=adamw,sgd
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "space.yaml"
    path.write_text(SPACE)
    return path


@pytest.fixture(autouse=True)
def schemas() -> None:
    compose.register_schemas()


def found(*overrides: str, space: Path | str | None = None):
    return variants(compose.parse([*overrides, "sweep=s"]), Optuna(space=None if space is None else str(space)), Composer())


def test_a_line_is_an_option_its_values_and_its_conditions(file):
    domains = {domain.key: domain for domain in read_domains([], file)}
    assert domains["optimizer"].values == ("adamw", "sgd")
    assert domains["optimizer.lr"].values == DrawInterval(1e-4, 1e-1, whole=False, log=True, one_minus=False)
    assert domains["cell.window"].values == DrawInterval(5, 50, whole=True, log=False, one_minus=False)
    assert domains["cell.window"].conditions == (("cell", ("attention",)), ("optimizer", ("adamw", "sgd")))


def test_an_option_is_suggested_only_where_its_conditions_hold(file):
    domains = read_domains([], file)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    seen = set()
    for cell in ("lstm", "attention"):
        for _ in range(20):
            trial = study.ask()
            chosen = dict(item.split("=") for item in Space(domains, {"cell": cell}).suggest(trial))
            sgd = chosen["optimizer"] == "sgd"
            assert ("optimizer.momentum" in chosen) == ("optimizer.nesterov" in chosen) == sgd
            assert ("cell.window" in chosen) == (cell == "attention")
            assert set(trial.params) == set(chosen) - {"optimizer.nesterov"}  # which is not searched over
            assert Space(domains, {"cell": cell}).written(trial.params) == chosen
            seen.add(chosen["optimizer"])
    assert seen == {"adamw", "sgd"}


def test_distributions_are_what_the_words_say():
    overrides = ["a.x=tag(log, int(interval(1, 64)))", "a.y=tag(log, one_minus, interval(0.01, 1.0))", "a.z=choice(1, true)"]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    trial = study.ask()
    chosen = dict(item.split("=") for item in Space(read_domains(compose.parse(overrides), None), {}).suggest(trial))
    assert trial.distributions["a.x"] == optuna.distributions.IntDistribution(1, 64, log=True)
    assert trial.distributions["a.y"] == optuna.distributions.FloatDistribution(0.01, 1.0, log=True)
    assert float(chosen["a.y"]) == pytest.approx(1 - trial.params["a.y"], rel=1e-5)
    assert chosen["a.z"] in ("1", "True", "true")


def test_variants_and_what_is_searched_within_them(file):
    lstm, attention = found("cell=lstm,attention", "task=adding", space=file)
    assert lstm.space.given == {"cell": "lstm"}
    assert lstm.name != attention.name
    options = {item.split("=")[0] for job in examples([attention]) for item in job}
    assert {"optimizer.momentum", "cell.window"} <= options
    assert not any("cell.window" in item for job in examples([lstm]) for item in job)
    (searched,) = found("cell=choice(lstm,gru)", "task=adding")
    assert {job[-1] for job in examples([searched])} == {"cell=lstm", "cell=gru"}


def test_the_command_line_takes_the_place_of_the_file(file):
    (lstm,) = found("cell=lstm", "optimizer.lr=interval(1, 2)", space=file)
    domain = next(domain for domain in lstm.space.domains if domain.key == "optimizer.lr")
    assert domain.values == DrawInterval(1, 2, whole=False, log=False, one_minus=False)
    assert [domain.key for domain in lstm.space.domains][:2] == ["optimizer", "optimizer.lr"]


@pytest.mark.slow
def test_a_study_is_named_by_what_is_computed_and_searched(file):
    (base,) = found("cell=lstm", space=file)
    (elsewhere,) = found("machine.device=cpu", "cell=lstm", "out=there", space=file)
    assert base.name == elsewhere.name
    (other,) = found("cell=lstm", "model.hidden_size=3", space=file)
    (wider,) = found("cell=lstm", "optimizer.lr=interval(1, 2)", space=file)
    assert len({base.name, other.name, wider.name}) == 3


@pytest.mark.slow
def test_the_space_that_comes_with_gatelab_is_accepted_for_every_optimiser():
    jobs = examples(found("cell=attention", space="optimizer"))
    given = ["hydra/sweeper=optuna", "hydra.sweeper.space=optimizer", "cell=attention", "task=adding", "task.length=6", "sweep=s"]
    checked = compose_jobs(compose.parse(given), sweep=True)
    assert len(checked) == len(jobs)
    assert {job.config.optimizer.name for job in checked} == {"adamw", "sgd", "rmsprop"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("optimizer.lr: interval(2, 1)", "a low and a higher number"),
        ("optimizer.lr: intervall(1, 2)", "Write interval"),
        ("optimizer.lr: 1,2", "write choice"),
        ("optimizer.lr: interval(1, 2) if optimizer", "is not a condition"),
        ("optimizer.lr: interval(1, 2) if optimizer=sgdd", "Did you mean 'sgd'"),
        ("optimizer.lr: interval(1, 2) if optimiser=sgd", "Did you mean 'optimizer'"),
        ("optimizer.lr: interval(1, 2) if model.hiden_size=3", "Did you mean 'hidden_size'"),
        ("optimizer.lr: interval(1, 2) if trainer.clip_norm=1\ntrainer.clip_norm: choice(1, 2)", "come before it"),
        ("optimizer: choice(sgd, adamw)\noptimizer.lr: interval(1, 2) if optimizer.nesterov=true", "depends on what is chosen"),
        ("schedule.name: choice(linear, cosine)\noptimizer.lr: interval(1, 2) if schedule.name=liner", "Did you mean 'linear'"),
        ("optimizer: choice(sgd, adam)", "Did you mean 'adamw'"),
        ("optimizer.lr: interval(1, 2) if cell=gru", "no condition of the space holds"),
        ("cell: choice(lstm, gru)", "is given, but cell is searched over"),
        ("- optimizer.lr", "a space is lines"),
        ("a: [", "cannot be read as YAML"),
        ("optimizer.lr: [1, 2]", "a space is lines"),
    ],
)
def test_what_is_no_space_is_refused(lines, message, tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(lines)
    with pytest.raises(UserError, match=message):
        found("cell=lstm", space=path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["cell=lstm,gru"], "none is given"),
        (["hydra.sweeper.trials=3", "optimizer.lr=interval(1, 2)"], "Did you mean 'n_trials'"),
        (["hydra.sweeper.n_trials=0", "optimizer.lr=interval(1, 2)"], "at least 1"),
        (["hydra.sweeper.pruner=medain", "optimizer.lr=interval(1, 2)"], "Did you mean 'median'"),
        (["hydra.sweeper.space=optimiser"], "Did you mean 'optimizer'"),
        (["hydra.sweeper.space=mine.yaml"], "there is no file 'mine.yaml'"),
        (["optimizer.lrr=interval(1, 2)"], "Unknown option of optimizer 'lrr'. Did you mean 'lr'"),
        (["optimizer.momentum=interval(0, 1)"], "Unknown option of optimizer 'momentum'"),
        (["optimizer.lr=interval(-1.0, 1.0)"], "must be greater than 0"),
    ],
)
def test_a_search_is_refused_before_its_first_run(overrides, message):
    given = compose.parse(["hydra/sweeper=optuna", "task=adding", "sweep=s", *overrides])
    with pytest.raises(UserError, match=message):
        compose_jobs(given, sweep=True)


def test_options_of_the_search_are_read_from_the_command_line(monkeypatch):
    monkeypatch.setenv("STUDIES", "sqlite:///there.db")
    given = compose.parse(["hydra/sweeper=optuna", "hydra.sweeper.n_trials=7", "hydra.sweeper.storage=${oc.env:STUDIES}"])
    assert sweeper_of(given) == Optuna(n_trials=7, storage="sqlite:///there.db")


def test_a_changed_plugin_begins_another_study(plugin):
    """Trials of other equations say nothing about these; those of the other cells of the search do."""

    def names() -> list[str]:
        compose.load_plugins(compose.parse([f"plugins=[{plugin}]"]))
        compose.register_schemas()
        return [one.name for one in found(f"plugins=[{plugin}]", "cell=damped,lstm", "optimizer.lr=interval(0.1, 1)")]

    first = names()
    plugin.write_text("# A comment.\n" + plugin.read_text())
    assert names() == first
    plugin.write_text(plugin.read_text().replace("(1 - f)", "f"))
    assert [new == old for new, old in zip(names(), first, strict=True)] == [False, True]
