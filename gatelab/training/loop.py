"""Lightning's part of a run: what it is built of, its fit, its test, and the summary of both."""

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, Trainer

from gatelab.config import Config
from gatelab.diagnostics import keys
from gatelab.diagnostics.cost import model_flops_per_step
from gatelab.models import SequenceModel
from gatelab.runs import Run, RunWriter
from gatelab.tasks import Task
from gatelab.training.callbacks import LastValidation, RandomState, TimeLimit, TrainingMetrics
from gatelab.training.checkpoints import LastCheckpoint, WholeCheckpoints
from gatelab.training.data import EvaluationBatches, TrainingStream
from gatelab.training.lightning_overhead import LeanEarlyStopping, LeanModelCheckpoint, NoProfiler
from gatelab.training.loggers import MetricsLogger
from gatelab.training.module import SequenceModule
from gatelab.training.parallel import Team
from gatelab.training.probes import GradientProbe, InsideProbe
from gatelab.training.pruning import PruneOnRequest


@dataclass
class Attempt:
    """Everything that an attempt at a run is made of.

    Attributes:
        config, model, task: what is trained.
        writer: its directory.
        team: the processes that train it.
        watchers: callbacks in front of our own.
        options: Lightning's arguments for device and number format.
        resume: the checkpoint to go on from.
        loggers: of this process; none but in the leader of the team.
    """

    config: Config
    model: SequenceModel
    task: Task
    writer: RunWriter
    team: Team
    watchers: Sequence[Callback]
    options: dict[str, Any]
    resume: Path | None
    loggers: Sequence[MetricsLogger] = ()


def train(attempt: Attempt) -> tuple[dict[str, Any], int]:
    """Trains and tests; returns the summary, which only the leader of the team has, and the optimiser steps made."""
    config, task, team = attempt.config, attempt.task, attempt.team
    settings = config.trainer
    if settings.precision == "f64":
        attempt.model.double()  # Lightning would do so only when it has put the weights of a checkpoint into float32
    module = SequenceModule(attempt.model, task, config, team)
    monitor, mode = keys.score("val", task.metric), "max" if task.higher_is_better else "min"
    folder = attempt.writer.path / "checkpoints"
    best = LeanModelCheckpoint(dirpath=folder, filename="best", monitor=monitor, mode=mode, enable_version_counter=False)
    meter = TrainingMetrics(settings.log_every, attempt.writer)
    # Behind the one that keeps the best, whose state it writes.
    last = LastCheckpoint(folder, config.machine.checkpoint_steps, config.machine.checkpoint_seconds, team)
    callbacks = [*_callbacks(attempt, meter), best, last]
    if settings.patience is not None:
        callbacks.append(LeanEarlyStopping(monitor, patience=settings.patience, mode=mode))
    with warnings.catch_warnings():
        _quiet()
        trainer = _trainer(attempt, callbacks)
        seed = config.seed if config.data_seed is None else config.data_seed
        stream = TrainingStream(task, seed, settings.batch_size, lambda: trainer.global_step, team)
        trainer.fit(module, stream, EvaluationBatches(task, "val", team), ckpt_path=attempt.resume, weights_only=True)
        step = trainer.global_step
        tested = EvaluationBatches(task, "test", team)
        trainer.test(module, tested, ckpt_path=best.best_model_path, weights_only=True, verbose=False)
    if not team.leader:
        return {}, step
    kept = torch.load(best.best_model_path, weights_only=True, map_location="cpu")
    summary = _summary(config, attempt.model, task, attempt.writer) | {
        "seconds_per_step": meter.seconds_per_step(),
        "wall_seconds": attempt.writer.wall_seconds,
        "steps": step,
        "best_step": kept["global_step"],
        "val": kept["gatelab_scores"],
        "test": {key.partition("/")[2]: value for key, value in module.scores.items()},
    }
    return summary, step


def _callbacks(attempt: Attempt, meter: TrainingMetrics) -> list[Callback]:
    """In the order in which they are called; what only looks, or asks others, is the leader's."""
    settings, team, model = attempt.config.trainer, attempt.team, attempt.model
    inside = InsideProbe(settings.probe_every, model, attempt.task, settings.saturated_below, settings.saturated_above)
    found = [
        *attempt.watchers,
        meter,
        inside if team.leader else None,
        GradientProbe(settings.log_every, settings.probe_every, model, settings.clip_norm),
        RandomState(team),
        LastValidation(),
        PruneOnRequest(attempt.writer.path) if team.leader else None,
        TimeLimit(settings.max_seconds, team) if settings.max_seconds else None,
    ]
    return [callback for callback in found if callback is not None]


def _trainer(attempt: Attempt, callbacks: list[Callback]) -> Trainer:
    settings = attempt.config.trainer
    return Trainer(
        max_steps=settings.max_steps,
        val_check_interval=settings.val_every,
        check_val_every_n_epoch=None,
        gradient_clip_val=settings.clip_norm,
        logger=[*attempt.loggers],
        callbacks=callbacks,
        profiler=NoProfiler(),
        # The second: Lightning would take a job of Slurm, or a process of torchrun, for a part of a larger training in its own way.
        plugins=[WholeCheckpoints(attempt.team), LightningEnvironment()],
        default_root_dir=attempt.writer.path,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        detect_anomaly=settings.detect_anomaly,
        **attempt.options,
    )


def _summary(config: Config, model: SequenceModel, task: Task, writer: RunWriter) -> dict[str, Any]:
    """What a summary says of the model and the task, and the last record of the gates."""
    recorded = Run(writer.path, {}, {}).metrics("gate")
    return {
        "cell": config.cell["name"],
        "task": config.task["name"],
        "metric": task.metric,
        "higher_is_better": task.higher_is_better,
        "chance": task.chance,
        "solved": task.solved,
        "hidden_size": model.rnn.hidden_size,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "flops_per_step": model_flops_per_step(model, task.batch("val", 0, np.arange(1)).x.shape[1]),
        # From the file and not from the probe: the last record may be of the process before an interruption.
        "gates": {key: values[-1] for key, (_, values) in recorded.items() if key.startswith("gate/")},
    }


def _quiet() -> None:
    """Keeps back Lightning's advice on workers and folders, which does not fit our loader, and what torch deprecates in it."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
