"""Thin callbacks around a step: its metrics, the end of a run, and the random states that a resumed run needs."""

import hashlib
import math
import random
import statistics
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Timer

from gatelab.diagnostics import keys
from gatelab.process import signals
from gatelab.runs import Writer
from gatelab.tasks import Batch
from gatelab.training.parallel import END, Team


def _log(trainer: Trainer, metrics: dict[str, float]) -> None:
    for logger in trainer.loggers:
        logger.log_metrics(metrics, trainer.global_step)


class TrainingMetrics(Callback):
    """Loss, learning rate and speed every `every` optimiser steps, and how far the run has come.

    Speed is the median over steps, forward to update, without validation. Only where a line is written does it wait for a GPU:
    the steps since the previous line get their mean.
    """

    def __init__(self, every: int, writer: Writer) -> None:
        self.every, self.writer = every, writer
        self.seconds: list[float] = []
        self._waited = 0  # number of entries in `seconds` when the device was last waited for
        self._started = 0.0
        self._rate = math.nan

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        self._rate = trainer.optimizers[0].param_groups[0]["lr"]  # after the step the schedule has advanced
        self._started = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int) -> None:
        step = trainer.global_step
        regular = step % self.every == 0
        due = regular or step == trainer.max_steps
        loss = pl_module.loss if due else math.nan
        self.seconds.append(time.perf_counter() - self._started)
        if due and pl_module.deferred:
            of = self.seconds[self._waited :]
            self.seconds[self._waited :] = [sum(of) / len(of)] * len(of)
            self._waited = len(self.seconds)
        if regular:
            recent = statistics.median(self.seconds[-self.every :])
            metrics: dict[str, Any] = {keys.score("train", "loss"): loss, keys.LEARNING_RATE: self._rate}
            _log(trainer, metrics | {keys.STEPS_PER_SECOND: 1 / recent})
        self.writer.progress(step)
        signals.check()

    def seconds_per_step(self) -> float:
        """Median over the steps of this process; nan without steps."""
        return statistics.median(self.seconds) if self.seconds else float("nan")


class LastValidation(Callback):
    """Validates after the last step, too, if it is not a multiple of `val_every`."""

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int) -> None:
        if trainer.global_step == trainer.max_steps:
            trainer.should_stop = True  # Lightning validates when it is asked to stop


class RandomState(Callback):
    """Carries every random state through checkpoints, so that a resumed run draws what it would have drawn.

    Args:
        team: each of its processes has its own states. A process without states in the checkpoint begins with new ones.
    """

    def __init__(self, team: Team | None = None) -> None:
        self.team = team or Team()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["gatelab_random"], *others = self.team.gather(random_state())
        if others:
            checkpoint["gatelab_random_others"] = others

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        states = [checkpoint["gatelab_random"], *checkpoint.get("gatelab_random_others", ())]
        self._loaded = states[self.team.rank] if self.team.rank < len(states) else None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        loaded = getattr(self, "_loaded", None)
        if loaded is not None:
            set_random_state(loaded)


class TimeLimit(Timer):
    """Ends the run when its time is up: at one step for all processes, by the leader's clock."""

    def __init__(self, seconds: float, team: Team) -> None:
        super().__init__(timedelta(seconds=seconds))
        self.team = team

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int) -> None:
        left = self.time_remaining()
        if left is not None and left <= 0:
            self.team.wish(END)

    def on_train_batch_end(self, trainer: Trainer, *args: Any, **kwargs: Any) -> None:
        trainer.should_stop = trainer.should_stop or self.team.granted(END)


def seed_everything(seed: int, rank: int = 0) -> None:
    """Seeds torch, Python and NumPy. Nothing in gatelab draws from the last two, but a user's task may.

    Args:
        rank: the rank of this process; each draws its own numbers, the first those of a run in one process.
    """
    if rank:
        seed = int.from_bytes(hashlib.sha256(f"{seed}/{rank}".encode()).digest()[:7])
    torch.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed % 2**32)


def random_state() -> dict[str, Any]:
    """The state of every generator that `seed_everything` seeds, as `torch.load(weights_only=True)` reads it."""
    numpy_state: Any = np.random.get_state()
    kind, words, *rest = numpy_state
    # Only of the device that this process computes on: asking others would start CUDA, which takes memory on every GPU.
    cuda = [torch.cuda.get_rng_state()] if torch.cuda.is_initialized() else []
    found: dict[str, Any] = {"cpu": torch.get_rng_state(), "cuda": cuda}
    found |= {"python": random.getstate(), "numpy": [kind, torch.from_numpy(words.astype(np.int64)), *rest]}
    if torch.backends.mps.is_available():
        found["mps"] = torch.mps.get_rng_state()
    return found


def set_random_state(state: Mapping[str, Any]) -> None:
    """What `random_state` returned, set again; the state of a device that this machine lacks is left out."""
    torch.set_rng_state(state["cpu"].cpu())
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"][0].cpu())
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"].cpu())
    random.setstate(state["python"])
    kind, words, *rest = state["numpy"]
    np.random.set_state((kind, words.cpu().numpy().astype(np.uint32), *rest))
