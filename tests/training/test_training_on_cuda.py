"""Runs on a GPU: what they compute, that a cut one ends the same, and that a step does not wait for the device."""

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from training.resuming import Cut, assert_same, cut_at

from gatelab.bench.gpu.runs import Waits
from gatelab.config import Config, Machine, Model
from gatelab.runs import Run
from gatelab.runs.files import read_json
from gatelab.tasks import Batch
from gatelab.training.fit import fit
from gatelab.training.inspection import inspect
from gatelab.training.module import SequenceModule

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason=f"torch {torch.__version__} finds no CUDA device here"),
]

Make = Callable[..., Config]
GPU = Machine(device="cuda", checkpoint_steps=3)
PLAIN = Model(hidden_size=8)  # draws no numbers, which a GPU would draw from another generator


def losses(run: Run) -> list[float]:
    return run.metrics("train")["train/loss"][1]


def test_the_first_steps_are_those_of_the_cpu(small: Make):
    here, there = (fit(small(device, machine=Machine(device=device), model=PLAIN)) for device in ("cpu", "cuda"))
    assert losses(there) == pytest.approx(losses(here), rel=1e-3)
    assert there.summary()["test"] == pytest.approx(here.summary()["test"], rel=1e-2)
    assert there.summary()["gates"].keys() == here.summary()["gates"].keys()
    for key, value in here.summary()["gates"].items():
        assert there.summary()["gates"][key] == pytest.approx(value, rel=1e-2, abs=1e-3), key


@pytest.mark.parametrize("task", ["copying", "embedded_reber", "continual_reber", "digits"])
def test_other_tasks(small: Make, task: str):
    assert fit(small(task={"name": task}, machine=GPU)).state == "finished"


@pytest.mark.parametrize("precision", ["f64", "bf16", "f16"])
def test_number_formats(small: Make, precision: str):
    run = fit(small(machine=GPU, model=PLAIN, trainer={"precision": precision}))
    reference = fit(small("reference", machine=Machine(device="cpu"), model=PLAIN))
    assert losses(run) == pytest.approx(losses(reference), rel=0.05)


@pytest.mark.parametrize("precision", ["f32", "f16"])
def test_a_cut_run_ends_as_one_that_was_not(small: Make, monkeypatch: pytest.MonkeyPatch, precision: str):
    """Dropout and input noise are drawn on the GPU: its generator is in the checkpoint."""
    parts: dict[str, Any] = {"machine": GPU, "trainer": {"precision": precision}}
    whole, config = fit(small("whole", **parts)), small("cut", **parts)
    for step in (5, 14):
        with monkeypatch.context() as patch:
            cut_at(patch, step)
            with pytest.raises(Cut):
                fit(config)
    assert_same(fit(config), whole)


def test_a_run_goes_on_without_the_gpu(small: Make, monkeypatch: pytest.MonkeyPatch):
    with monkeypatch.context() as patch:
        cut_at(patch, 14)
        with pytest.raises(Cut):
            fit(small(machine=GPU))
    run = fit(small(machine=Machine(device="cpu")))
    assert run.state == "finished"
    assert any("gpu" in line for line in read_json(run.path / "provenance.json")["changed"])


def test_a_loss_that_is_not_finite_is_noticed_at_its_step(small: Make, monkeypatch: pytest.MonkeyPatch):
    original = SequenceModule._outputs

    def broken(self: SequenceModule, batch: Batch, phase: str) -> torch.Tensor:
        return original(self, batch, phase) * (torch.nan if self.global_step == 13 and phase == "train" else 1.0)

    monkeypatch.setattr(SequenceModule, "_outputs", broken)
    config = small(machine=GPU)
    with pytest.raises(Exception, match="The training loss is nan at step 13"):
        fit(config)
    (path,) = Path(config.out).iterdir()
    kept = torch.load(path / "checkpoints" / "last.ckpt", weights_only=True, map_location="cpu")
    assert kept["global_step"] < 14
    assert all(value.isfinite().all() for value in kept["state_dict"].values())


def test_what_was_trained_there_is_looked_at_here(small: Make):
    found = inspect(fit(small(machine=GPU)), "best", "test", 8)
    assert found["scores"]


class _Memory(Callback):
    """Bytes on the device behind every step."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int) -> None:
        self.seen.append(torch.cuda.memory_allocated())


def test_memory_does_not_grow(small: Make):
    memory = _Memory()
    fit(small(machine=GPU, trainer={"max_steps": 120, "val_every": 120, "log_every": 1000}), [memory])
    assert max(memory.seen[-20:]) <= max(memory.seen[20:60]) + 2**20


def test_a_step_does_not_wait_for_the_device(small: Make):
    """Of 40 steps those wait that write a line of metrics."""
    waits = Waits()
    with warnings.catch_warnings():
        fit(small(machine=GPU, trainer={"max_steps": 60, "val_every": 100, "log_every": 20, "probe_every": 0}), [waits])
    assert waits.steps == 40
    assert not {place: number for place, number in Counter(waits.places).items() if number > 4}, waits.places
