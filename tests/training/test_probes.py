"""Probes: what they record, and that they change nothing."""

import pytest
import torch
from cells.variants import KINDS
from designs import over

from gatelab.config import Model, Trainer
from gatelab.diagnostics import observe
from gatelab.runs import Run
from gatelab.training.fit import fit
from gatelab.training.prepare import build_model
from gatelab.training.spec import Spec


def trained(run: Run) -> dict[str, torch.Tensor]:
    return torch.load(run.path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


LAST, ALL = {"name": "adding", "length": 12}, {"name": "copying", "length": 3}


@over(
    "variant",
    KINDS,
    task=[pytest.param(LAST, id="last"), pytest.param(ALL, id="all")],
    limit=[pytest.param(None, id="whole"), pytest.param(5 * 8, id="sampled")],
)
def test_a_probed_run_is_the_same_run(variant, task, limit, small, monkeypatch):
    """Weights to the last bit, dropout's random numbers among what decides them."""
    if limit is not None:
        monkeypatch.setattr(observe, "LIMIT", limit)
        monkeypatch.setattr(observe, "SAMPLE", limit)
    cell, chosen = variant.cell(), {"name": variant.name, **variant.options}
    silent, probed = (
        fit(small(out, cell=chosen, task=task, trainer={"probe_every": every})) for out, every in (("a", 0), ("b", 1))
    )
    assert all(torch.equal(value, trained(probed)[key]) for key, value in trained(silent).items())
    assert silent.arrays() == {}
    arrays, metrics = probed.arrays(), probed.metrics()
    parts = [*cell.own_state, "state"]
    for key in (f"{family}/0/{part}" for family in ("flow", "flow_end") for part in parts):
        assert arrays[f"{key}/norm"][0] == list(range(1, 21))
        assert metrics[f"{key}/half_life"][0]
        assert all(len(norm) == len(lags) for norm, lags in zip(arrays[f"{key}/norm"][1], arrays[f"{key}/lags"][1], strict=True))
    whole = task["length"] - 1 if task["name"] == "adding" else 22
    cut = limit is not None and cell.memory is None
    assert max(arrays["flow/0/state/lags"][1][0]) == (4 if cut else whole)
    if task["name"] == "copying":
        assert {f"val/recall/{slot}" for slot in range(10)} <= metrics.keys()


def test_the_flow_of_the_training_step_is_that_of_its_loss(small):
    """The first step again, by hand."""
    from gatelab.training.data import TrainingStream

    config = small(trainer={"probe_every": 1, "max_steps": 1}, model=Model(hidden_size=8))
    run = fit(config)
    torch.manual_seed(config.seed)
    spec = Spec(config)
    task, model = spec.task, build_model(spec)
    batch = next(iter(TrainingStream(task, 0, 8, lambda: 0)))
    flows = observe.flow(model, task, batch)
    norms = flows["0"][0]["c"].norm(dim=-1).mean(1).flip(0)
    assert run.arrays()["flow/0/c/norm"][1][0] == pytest.approx(norms.tolist(), rel=1e-3)
    assert run.arrays()["flow_end/0/c/norm"] == run.arrays()["flow/0/c/norm"]  # adding reads out at the last step alone


def test_the_clip_rate_is_the_share_of_clipped_steps(small):
    free = fit(small("a", trainer={"log_every": 1, "clip_norm": None, "max_steps": 12}))
    steps, norms = free.metrics()["grad/norm"]
    assert steps == list(range(1, 13))
    assert "clip/rate" not in free.metrics()
    limit = sorted(norms)[6]
    run = fit(small("b", trainer={"log_every": 4, "clip_norm": limit, "max_steps": 12}))
    fine = fit(small("c", trainer={"log_every": 1, "clip_norm": limit, "max_steps": 12}))
    clipped = fine.metrics()["clip/rate"][1]
    assert clipped == [float(norm > limit) for norm in fine.metrics()["grad/norm"][1]]
    assert 0 < sum(clipped) < 12
    assert run.metrics()["clip/rate"] == ([4, 8, 12], [sum(clipped[k : k + 4]) / 4 for k in (0, 4, 8)])


def test_the_limits_of_saturation_are_options(small):
    run = fit(small(trainer={"saturated_below": 0.0, "saturated_above": 0.0, "max_steps": 10}))
    assert run.metrics()["gate/0/forget/saturated_left"][1] == [0]
    assert run.metrics()["gate/0/forget/saturated_right"][1] == [1]
    assert Trainer().saturated_below == 0.1
