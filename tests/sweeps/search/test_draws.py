"""Random search: what is drawn, that variants share it, and what is refused."""

import math

import pytest

from gatelab.errors import UserError
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.search.draws import split
from gatelab.sweeps.search.expand import compose_jobs

LOG = "optimizer.lr=tag(log, interval(1e-4, 1e-2))"


def jobs(*overrides: str, trials: int = 3, seed: int = 0) -> list[dict[str, str]]:
    return [dict(item.split("=", 1) for item in job) for job in split(compose.parse([*overrides]), trials, seed)]


def test_variants_share_their_draws_trial_by_trial() -> None:
    found = jobs("cell=lstm,gru", "seed=0,1", LOG, "task=jsb")
    assert [(job["cell"], job["seed"]) for job in found] == [("lstm", "0"), ("lstm", "1"), ("gru", "0"), ("gru", "1")] * 3
    rates = [job["optimizer.lr"] for job in found]
    assert rates == [rate for trial in (0, 4, 8) for rate in [rates[trial]] * 4]
    assert len(set(rates)) == 3


def test_a_draw_depends_on_seed_trial_and_key_alone() -> None:
    few, many = jobs(LOG), jobs("trainer.clip_norm=interval(0.5, 2)", LOG, trials=5)
    assert [job["optimizer.lr"] for job in few] == [job["optimizer.lr"] for job in many[:3]]
    assert few == jobs(LOG)
    assert few != jobs(LOG, seed=1)
    assert [job["trainer.clip_norm"] for job in many] != [job["optimizer.lr"] for job in many]


def test_distributions() -> None:
    """Means of 4000 draws within four standard errors of what integrals by hand give."""
    n = 4000
    draws = jobs(
        LOG,
        "model.dropout=interval(0.2, 0.6)",
        "optimizer.momentum=tag(log, one_minus, interval(0.01, 1.0))",
        "model.hidden_size=int(interval(3, 5))",
        "model.num_layers=tag(log, int(interval(1, 7)))",
        trials=n,
    )
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
        ("optimizer.lr=0.1,0.2", "draws from intervals, but none is given"),
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
