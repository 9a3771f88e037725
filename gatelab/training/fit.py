"""One run, from its configuration to its result. After `gatelab/cells/lstm.py` this is the file to read, from top to bottom."""

from collections.abc import Sequence
from typing import Any

from lightning.pytorch import Callback

from gatelab.config import Config
from gatelab.models import SequenceModel
from gatelab.process.signals import stoppable
from gatelab.runs import Run, read_run
from gatelab.tasks import check_task
from gatelab.training.attempt import Attempt, locked, record, settled
from gatelab.training.callbacks import seed_everything
from gatelab.training.checkpoints import resumable
from gatelab.training.data import EvaluationBatches, TrainingStream
from gatelab.training.module import SequenceModule
from gatelab.training.parallel import Team, check_shares, together
from gatelab.training.prepare import accelerator, build_model, served, set_up_process
from gatelab.training.provenance import provenance
from gatelab.training.spec import Spec
from gatelab.training.summary import summarize
from gatelab.training.trainer import build_trainer, quiet


def fit(config: Config, watchers: Sequence[Callback] = (), launcher: str | None = None, lock_seconds: float = 0.0) -> Run:
    """Trains, validates and tests one run, and records it in its directory.

    A finished run is returned unchanged. An interrupted run resumes from its last checkpoint and ends bit for bit where it would
    have ended (same machine, same numbers of threads and processes). Several processes started by torchrun or a launcher
    train it together (see `gatelab.training.parallel`), and return and raise the same.

    Args:
        config: what to compute, checked.
        watchers: callbacks in front of our own. They are not part of the run's identity and must not change what is computed.
        launcher: the launcher that started this process, in a sweep; recorded in the status.
        lock_seconds: how long to wait for a process that holds the run's lock and may be dead.

    Returns:
        The finished run.

    Raises:
        UserError: the configuration cannot be built.
        RunBusyError: another process is training this run.
        RunFailedError: training failed; the directory has state `failed`, the error and the last good checkpoint. Or it failed
            before, and is left alone (machine.retry). Or a search ended it early: it has state `pruned`. Or one of several
            processes was killed: it has state `preempted`.
        KeyboardInterrupt: it was stopped, by Ctrl-C or (`Stopped`) a signal; the directory has state `preempted`.
    """
    spec = Spec(config)
    path = spec.path
    with stoppable(), together() as team:  # a signal stops it cleanly; a team is all processes that train this run
        if (ended := settled(spec, team)) is not None:
            return ended
        model = _build(spec, team)
        device = accelerator(config, team)
        backend = served(config, model, device["accelerator"])
        own = spec.identity
        origin = provenance(spec.data_hashes, own.plugins, team.size, backend, device["accelerator"], own.left_out)
        with locked(path, team, lock_seconds) as writer:
            if (ended := settled(spec, team)) is not None:  # by another process, while this one waited for the lock
                return ended
            resume = team.from_leader(lambda: resumable(path / "checkpoints"))
            attempt = Attempt(spec, model, writer, team, watchers, device, resume)
            record(attempt, origin, launcher, _train)  # the begin, then the result or the error
        return team.from_leader(lambda: read_run(path))


def _build(spec: Spec, team: Team) -> SequenceModel:
    """The model, its weights drawn from the seed of the run: an encoder, recurrent layers of the cell, a linear head."""
    set_up_process(spec.config)
    check_task(spec.task, spec.task_name)
    if team.size > 1:
        check_shares(spec, team.size)
    seed_everything(spec.config.seed)
    model = build_model(spec)
    team.equalise(model)
    if not team.leader:
        seed_everything(spec.config.seed, team.rank)
    # Lightning would do so only when it has put the weights of a checkpoint into float32.
    return model.double() if spec.config.trainer.precision == "f64" else model


def _train(attempt: Attempt) -> tuple[dict[str, Any], int]:
    """Trains with validations, then tests the best weights; returns the summary and the optimiser steps made."""
    spec, team = attempt.spec, attempt.team
    module = SequenceModule(attempt.model, spec, team)  # loss, optimiser, clipping and scores
    with quiet():
        trainer, best, meter = build_trainer(attempt)  # with callbacks: metrics, probes, checkpoints, early stopping
        batches = TrainingStream(spec.task, spec.data_seed, spec.config.trainer.batch_size, lambda: trainer.global_step, team)
        validation, test = (EvaluationBatches(spec.task, split, team) for split in ("val", "test"))
        trainer.fit(module, batches, validation, ckpt_path=attempt.resume, weights_only=True)
        step = trainer.global_step
        trainer.test(module, test, ckpt_path=best.best_model_path, weights_only=True, verbose=False)
    scored = module.scores, module.test_error
    return summarize(attempt, *scored, best.best_model_path, meter.seconds_per_step(), step), step
