"""Lightning's Trainer for runs, with its callbacks."""

import contextlib
import logging
import warnings
from collections.abc import Iterator

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, Trainer

from gatelab.diagnostics import keys
from gatelab.training.attempt import Attempt
from gatelab.training.callbacks import LastValidation, RandomState, TimeLimit, TrainingMetrics
from gatelab.training.checkpoints import LastCheckpoint, WholeCheckpoints
from gatelab.training.lightning_overhead import LeanModelCheckpoint, StepLoop
from gatelab.training.patience import Patience
from gatelab.training.probes import GradientProbe, InsideProbe
from gatelab.training.pruning import PruneOnRequest


def build_trainer(attempt: Attempt) -> tuple[Trainer, LeanModelCheckpoint, TrainingMetrics]:
    """The Trainer, with its callbacks for the best weights and for the times of steps."""
    settings, task = attempt.spec.config.trainer, attempt.spec.task
    monitor, mode = keys.score("val", task.metric), "max" if task.higher_is_better else "min"
    folder = attempt.writer.path / "checkpoints"
    best = LeanModelCheckpoint(dirpath=folder, filename="best", monitor=monitor, mode=mode, enable_version_counter=False)
    meter = TrainingMetrics(settings.log_every, attempt.writer)
    machine = attempt.spec.config.machine
    # After the one that keeps the best, whose state it writes.
    last = LastCheckpoint(folder, machine.checkpoint_steps, machine.checkpoint_seconds, attempt.team)
    callbacks = [*_callbacks(attempt, meter), best, last]
    if settings.patience is not None:
        callbacks.append(Patience(monitor, settings.patience, task))
    trainer = Trainer(
        max_steps=settings.max_steps,
        val_check_interval=settings.val_every,
        check_val_every_n_epoch=None,
        gradient_clip_val=settings.clip_norm,
        logger=[*attempt.loggers],
        callbacks=callbacks,
        # The second: Lightning would treat a Slurm job or a process of torchrun as a part of its own distributed training.
        plugins=[WholeCheckpoints(attempt.team), LightningEnvironment()],
        default_root_dir=attempt.writer.path,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        detect_anomaly=settings.detect_anomaly,
        **attempt.device,
    )
    trainer.fit_loop.epoch_loop = StepLoop(trainer, max_steps=settings.max_steps)
    return trainer, best, meter


def _callbacks(attempt: Attempt, meter: TrainingMetrics) -> list[Callback]:
    """Callbacks in the order of their calls; those that only observe or request run in the leader."""
    settings, team, model = attempt.spec.config.trainer, attempt.team, attempt.model
    inside = InsideProbe(settings.probe_every, model, attempt.spec.task, settings.saturated_below, settings.saturated_above)
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


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Suppresses Lightning's advice on workers and folders, which does not fit our loader, and deprecations by torch in it."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        yield
