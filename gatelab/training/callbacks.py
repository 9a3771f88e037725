"""Thin callbacks around a step: its metrics, and what lets a run end, go on and repeat itself."""

import math
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from gatelab.diagnostics import keys
from gatelab.runs import RunWriter
from gatelab.tasks import Batch


def _log(trainer: Trainer, metrics: dict[str, float]) -> None:
    for logger in trainer.loggers:
        logger.log_metrics(metrics, trainer.global_step)


class TrainingMetrics(Callback):
    """Loss, learning rate and speed every `every` optimiser steps, and how far the run has come.

    Speed is the median over steps, forward to update, without validation.
    """

    def __init__(self, every: int, writer: RunWriter) -> None:
        self.every, self.writer = every, writer
        self.seconds: list[float] = []
        self._started = 0.0
        self._rate = math.nan

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self._rate = trainer.optimizers[0].param_groups[0]["lr"]  # behind the step the schedule has moved on
        self._started = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._started)
        if trainer.global_step % self.every == 0:
            recent = statistics.median(self.seconds[-self.every :])
            metrics = {keys.score("train", "loss"): outputs["loss"].item(), keys.LEARNING_RATE: self._rate}
            _log(trainer, metrics | {keys.STEPS_PER_SECOND: 1 / recent})
        self.writer.progress(trainer.global_step)

    def seconds_per_step(self) -> float:
        """Median over the steps of this process; nan if it made none."""
        return statistics.median(self.seconds) if self.seconds else float("nan")


class LastValidation(Callback):
    """Validates after the last step, too, when it is no multiple of `val_every`."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True  # Lightning validates when it is asked to stop


class LastCheckpoint(Checkpoint):
    """Writes `path` after every validation: what an interrupted run goes on from.

    ModelCheckpoint's own `save_last` skips validations that were not the best so far. Lightning calls callbacks of this type
    behind all others, in order, so that the state of the one that keeps the best is in the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.save_checkpoint(self.path)


class RandomState(Callback):
    """Carries the random state through checkpoints, so that a run that goes on draws what it would have drawn."""

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["gatelab_random"] = {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all()}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self._loaded = checkpoint["gatelab_random"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loaded = getattr(self, "_loaded", None)
        if loaded is not None:
            torch.set_rng_state(loaded["cpu"].cpu())
            if loaded["cuda"]:
                torch.cuda.set_rng_state_all([state.cpu() for state in loaded["cuda"]])
