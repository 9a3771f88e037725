"""Our loop over the steps against Lightning's own."""

import functools
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch

from gatelab.config import Model, Schedule
from gatelab.runs import Run
from gatelab.training import lightning_overhead
from gatelab.training.fit import fit


def recorded(run: Run) -> dict[str, Any]:
    """All that a run has written, without what times and folders enter."""
    found = {name: (run.path / name).read_text().splitlines() for name in ("histograms.jsonl", "arrays.jsonl")}
    metrics = {key: value for key, value in run.metrics().items() if "second" not in key}
    return found | metrics | {"val": run.summary()["val"], "test": run.summary()["test"]}


def same(one: Any, other: Any, where: str = "") -> None:
    """Fails where two checkpoints differ, but for their paths."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key, value in one.items():
            same(value, other[key], f"{where}/{key}")
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            same(*pair, f"{where}/{number}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["f32", "f64"])
@pytest.mark.parametrize("schedule", [Schedule(), Schedule(name="linear", warmup_steps=5)], ids=lambda schedule: schedule.name)
def test_it_does_what_lightnings_own_does(small, monkeypatch: pytest.MonkeyPatch, precision: str, schedule: Schedule):
    parts = {"schedule": schedule, "model": Model(hidden_size=8, dropout=0.2, num_layers=2)}
    make = functools.partial(small, trainer={"precision": precision, "max_steps": 23, "clip_norm": 0.1}, **parts)
    steps = []
    step = lightning_overhead.StepLoop._step
    monkeypatch.setattr(lightning_overhead.StepLoop, "_step", lambda self, fetcher: steps.append(1) or step(self, fetcher))
    ours = fit(make("ours"))
    assert len(steps) == 23
    monkeypatch.setattr(lightning_overhead, "COMPARED", ("0.",))
    theirs = fit(make("theirs"))
    assert len(steps) == 23
    assert recorded(ours) == recorded(theirs)
    for name in ("last.ckpt", "best.ckpt"):
        files: list[Path] = [run.path / "checkpoints" / name for run in (ours, theirs)]
        first, second = (torch.load(file, weights_only=True) for file in files)
        for kept in (first, second):  # where a checkpoint of the best weights lies
            for key in [key for key in kept["callbacks"] if "ModelCheckpoint" in key]:
                kept["callbacks"][key] = {
                    part: v
                    for part, v in kept["callbacks"][key].items()
                    if "path" not in part and "dir" not in part and "best_k" not in part
                }
        same(first, second)


def test_the_installed_lightning_was_compared_with():
    assert lightning.__version__.startswith(lightning_overhead.COMPARED), "call the test above and add the version to COMPARED"
