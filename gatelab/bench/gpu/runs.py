"""Whole runs through `fit` on a device: time of a step, where it waits for the device, and whether a cut run ends the same."""

import functools
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from gatelab.bench.gpu.section import Rows, Setting
from gatelab.config import AdamW, Config, Logger, Machine, Model, StandardInit
from gatelab.config import Trainer as Training
from gatelab.runs import Run
from gatelab.tasks import Batch
from gatelab.training.fit import fit

_SKIPPED = 5  # first steps, which warm up
_LOOKED_AT = 40  # steps whose waits are counted


class Cut(BaseException):
    """Ends a run in the middle; nothing that handles errors sees it."""


class CutAt(Callback):
    """Ends the run at an optimiser step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        if trainer.global_step == self.step:
            raise Cut


class Waits(Callback):
    """Counts the places at which steps wait for the GPU."""

    def __init__(self) -> None:
        self.places: Counter[str] = Counter()
        self.steps = 0
        self._caught: Any = None
        self._manager: Any = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        if trainer.global_step == _SKIPPED:
            self._manager = warnings.catch_warnings(record=True)
            self._caught = self._manager.__enter__()
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
        if self._manager is not None and trainer.global_step == _SKIPPED + _LOOKED_AT:
            self._leave(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._manager is not None:
            self._leave(trainer)

    def _leave(self, trainer: Trainer) -> None:
        torch.cuda.set_sync_debug_mode("default")
        self._manager.__exit__(None, None, None)
        self._manager = None
        self.steps = trainer.global_step - _SKIPPED
        for one in self._caught:
            if "synchroniz" in str(one.message):
                self.places[f"{'/'.join(Path(one.filename).parts[-3:])}:{one.lineno}"] += 1


def rows(setting: Setting) -> Rows:
    """Rows by task, device and number format."""
    found: Rows = {}
    steps = 20 if setting.small else 300
    for task, length in (("adding", 100), ("copying", 100)):
        for precision in ("f32", "bf16", "f16") if setting.gpu and task == "adding" else ("f32",):
            key = f"{task} T={length} {setting.device} {precision}"
            found[key] = functools.partial(_timed, setting.device, task, length, precision, steps, setting.gpu)
    if setting.gpu:
        found["adding T=100 cpu f32"] = functools.partial(_timed, "cpu", "adding", 100, "f32", steps, False)
    found["cut and resumed"] = functools.partial(_resumed, setting.device, 20 if setting.small else 60)
    return found


def _config(folder: str, device: str, task: str, length: int, precision: str, steps: int, **machine: Any) -> Config:
    return Config(
        cell={"name": "lstm", "forget_bias": 1.0},
        task={"name": task, "length": length},
        optimizer=AdamW(),
        init=StandardInit(),
        model=Model(hidden_size=128, dropout=0.1),
        trainer=Training(max_steps=steps, val_every=max(10, steps // 3), precision=precision),
        logger=Logger(name="none"),
        machine=Machine(device=device, threads=4, **machine),
        out=folder,
    )


def _timed(device: str, task: str, length: int, precision: str, steps: int, look: bool) -> dict[str, Any]:
    waits = Waits()
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        config = _config(folder, device, task, length, precision, steps)
        run = fit(config, [waits] if look else [])
        found = _told(run)
    found |= {"wall": time.perf_counter() - begin}
    if look:
        found |= {"waits_a_step": sum(waits.places.values()) / max(1, waits.steps), "places": dict(waits.places.most_common(12))}
        found |= {"peak_mib": torch.cuda.max_memory_allocated() / 2**20}
    return found


def _told(run: Run) -> dict[str, Any]:
    summary = run.summary()
    return {"ms_a_step": 1e3 * summary["seconds_per_step"], "wall_a_step": 1e3 * summary["wall_seconds"] / summary["steps"]}


def _resumed(device: str, steps: int) -> dict[str, Any]:
    """Whether a run that was cut off twice ends, bit for bit, as one that was not."""
    with tempfile.TemporaryDirectory() as folder:
        whole = fit(_config(f"{folder}/whole", device, "adding", 20, "f32", steps))
        for step in (steps // 3 + 2, steps // 2 + 3):
            try:
                fit(_config(f"{folder}/cut", device, "adding", 20, "f32", steps, checkpoint_steps=7), [CutAt(step)])
            except Cut:
                continue
            raise AssertionError("it was not cut")
        cut = fit(_config(f"{folder}/cut", device, "adding", 20, "f32", steps, checkpoint_steps=7))
        different = [key for key in ("test", "val", "gates") if whole.summary()[key] != cut.summary()[key]]
        weights = [torch.load(run.path / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"] for run in (whole, cut)]
        different += [name for name, value in weights[0].items() if not torch.equal(value, weights[1][name])]
    return {"passed": not different, "different": different}
