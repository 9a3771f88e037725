"""Random search: what is drawn, that variants share it, and what is refused."""

import math
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.stats.qmc import Sobol

from gatelab.errors import UserError
from gatelab.runs.sweep import write_plan
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.search.expand import compose_jobs, options_of_sweep
from gatelab.sweeps.search.points import split, unit_cube

LOG = "optimizer.lr=tag(log, interval(1e-4, 1e-2))"


DOMAINS = (
    LOG,
    "model.dropout=interval(0.2, 0.6)",
    "optimizer.momentum=tag(log, one_minus, interval(0.01, 1.0))",
    "model.hidden_size=int(interval(3, 5))",
    "model.num_layers=tag(log, int(interval(1, 7)))",
    "optimizer=choice(adamw, sgd, rmsprop)",
)


def jobs(*overrides: str, trials: int = 3, seed: int = 0, sampler: str = "sobol") -> list[dict[str, str]]:
    return [dict(item.split("=", 1) for item in job) for job in split(compose.parse([*overrides]), trials, seed, sampler)]


@pytest.mark.parametrize("sampler", ["sobol", "independent"])
def test_variants_share_their_draws_trial_by_trial(sampler: str) -> None:
    found = jobs("cell=lstm,gru", "seed=0,1", LOG, "task=jsb", sampler=sampler)
    assert [(job["cell"], job["seed"]) for job in found] == [("lstm", "0"), ("lstm", "1"), ("gru", "0"), ("gru", "1")] * 3
    rates = [job["optimizer.lr"] for job in found]
    assert rates == [rate for trial in (0, 4, 8) for rate in [rates[trial]] * 4]
    assert len(set(rates)) == 3


def test_an_independent_draw_depends_on_seed_trial_and_key_alone() -> None:
    few, many = jobs(LOG, sampler="independent"), jobs("trainer.clip_norm=interval(0.5, 2)", LOG, trials=5, sampler="independent")
    assert [job["optimizer.lr"] for job in few] == [job["optimizer.lr"] for job in many[:3]]
    assert few == jobs(LOG, sampler="independent")
    assert few != jobs(LOG, seed=1, sampler="independent")
    assert [job["trainer.clip_norm"] for job in many] != [job["optimizer.lr"] for job in many]


@pytest.mark.parametrize("trials", [1, 5, 64])
def test_more_trials_extend_a_sobol_sequence(trials: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # SciPy warns of numbers that are not powers of 2
        few, many = jobs(*DOMAINS, trials=trials), jobs(*DOMAINS, trials=100)
    assert len(few) == trials
    assert few == many[:trials] == jobs(*DOMAINS, trials=trials)
    assert few != jobs(*DOMAINS, trials=trials, seed=1)


def test_the_order_of_options_does_not_matter() -> None:
    assert jobs(*DOMAINS) == jobs(*DOMAINS[::-1])


def test_sobol_draws_cover_every_axis_evenly() -> None:
    """Each of 8 equal parts of every axis has 8 of the first 64 points, for any seed; independent draws do not have that."""
    even = lambda points: all((np.bincount((8 * axis).astype(int), minlength=8) == 8).all() for axis in points.T)  # noqa: E731
    keys = [f"option{number}" for number in range(6)]
    assert all(even(unit_cube(keys, 64, seed, "sobol")) for seed in (-1, 0, 7))
    assert not even(unit_cube(keys, 64, 0, "independent"))
    first, second = unit_cube(keys[:2], 64, 0, "sobol").T
    quarters = Counter(zip((4 * first).astype(int), (4 * second).astype(int), strict=True))
    assert (len(quarters), set(quarters.values())) == (16, {4})  # also in two dimensions


def test_the_draws_of_a_sobol_search_have_the_shares_of_their_domains() -> None:
    found = jobs(*DOMAINS, trials=512)
    share = lambda key, inside: sum(inside(job[key]) for job in found) / 512  # noqa: E731
    assert share("optimizer.lr", lambda value: float(value) < 1e-3) == 0.5
    assert share("model.dropout", lambda value: float(value) < 0.3) == pytest.approx(0.25, abs=1 / 512)  # rounded at the edge
    assert share("optimizer.momentum", lambda value: float(value) > 0.9) == pytest.approx(0.5, abs=1 / 512)
    assert share("model.hidden_size", lambda value: value == "4") == pytest.approx(1 / 3, abs=2 / 512)
    assert share("model.num_layers", lambda value: value == "1") == pytest.approx(1 / 3, abs=2 / 512)
    for name in ("adamw", "sgd", "rmsprop"):
        assert share("optimizer", lambda value, name=name: value == name) == pytest.approx(1 / 3, abs=2 / 512)


def test_more_options_than_a_sobol_sequence_has_axes() -> None:
    keys = [f"a{number}" for number in range(Sobol.MAXDIM + 1)]
    with pytest.raises(UserError, match=r"21,202 options are drawn, but .* 21,201 axes.*sampler=independent"):
        unit_cube(keys, 2, 0, "sobol")


def test_distributions_of_independent_draws() -> None:
    """Means of 4000 draws within four standard errors of what integrals by hand give."""
    n = 4000
    draws = jobs(*DOMAINS, trials=n, sampler="independent")
    rates = [math.log10(float(job["optimizer.lr"])) for job in draws]
    assert -4 <= min(rates) < -3.99
    assert -2.01 < max(rates) < -2
    assert sum(rates) / n == pytest.approx(-3, abs=4 * 2 / math.sqrt(12 * n))
    assert sum(float(job["model.dropout"]) for job in draws) / n == pytest.approx(0.4, abs=4 * 0.4 / math.sqrt(12 * n))
    momenta = [float(job["optimizer.momentum"]) for job in draws]
    assert 0 <= min(momenta) <= max(momenta) < 0.99
    assert sum(momenta) / n == pytest.approx(1 - 0.99 / math.log(100), abs=4 * 0.3 / math.sqrt(n))
    sizes = [int(job["model.hidden_size"]) for job in draws]
    assert [sizes.count(size) / n for size in (3, 4, 5)] == pytest.approx([1 / 3] * 3, abs=4 * 0.5 / math.sqrt(n))
    layers = [int(job["model.num_layers"]) for job in draws]
    assert set(layers) == set(range(1, 8))
    assert layers.count(1) / n == pytest.approx(math.log(2) / math.log(8), abs=4 * 0.5 / math.sqrt(n))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lr=0.1,0.2", "draws from intervals and choices, but none is given"),
        ("optimizer.lr=interval(2, 1)", "a low and a higher number"),
        ("optimizer.lr=tag(log, interval(0, 1))", "begins above 0"),
        ("optimizer.lr=tag(logg, interval(1, 2))", "Did you mean 'log'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        jobs(override)


def test_the_sweeper_is_known_to_hydra_and_to_the_preflight() -> None:
    compose.register_schemas()
    given = ["hydra/sweeper=random", "hydra.sweeper.trials=2", "cell=lstm,gru", LOG, "sweep=s"]
    found = compose_jobs(compose.parse(given), sweep=True)
    assert len({job.path for job in found}) == 4
    with pytest.raises(UserError, match=r"drawn from with .*hydra/sweeper=random"):
        compose_jobs(compose.parse(given[2:]), sweep=True)


def test_a_sweep_keeps_the_sampler_it_began_with(tmp_path: Path) -> None:
    """A plan without the option was made by independent draws; a new sweep writes the default down."""
    given = ["hydra/sweeper=random", LOG, f"out={tmp_path}", "sweep=s"]
    independent, sobol = ["hydra.sweeper.sampler=independent"], ["hydra.sweeper.sampler=sobol"]

    def of_sweep(*more: str, recorded: bool = False) -> list[str]:
        return options_of_sweep(compose.parse([*given, *more]), recorded)

    job = {tmp_path / "lstm": {"cell": {"name": "lstm"}, "task": {"name": "adding"}, "sweep": "s"}}
    assert of_sweep() == sobol
    assert of_sweep(*independent) == []
    assert of_sweep(recorded=True) == independent
    write_plan(job, arguments=["-m", "cell=lstm,gru", "sweep=s"])
    assert of_sweep() == sobol  # a command without draws
    write_plan(job, arguments=["-m", *given])
    assert of_sweep() == of_sweep("hydra.sweeper.trials=9") == independent
    write_plan(job, arguments=["-m", *given, *sobol])
    assert of_sweep() == sobol
    assert options_of_sweep(compose.parse(["cell=lstm,gru", "sweep=s"])) == []
