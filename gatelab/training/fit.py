"""One run from its configuration to its directory."""

import contextlib
import logging
import traceback
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, Trainer

from gatelab.cells import CELLS
from gatelab.config import Config
from gatelab.diagnostics import keys
from gatelab.diagnostics.cost import model_flops_per_step
from gatelab.kernels import check_backend
from gatelab.kernels.allocator import keep_memory
from gatelab.models import RNN, SequenceModel, initialize, matched_size
from gatelab.records import read_json
from gatelab.registry import UserError, load_plugin
from gatelab.runs import Run, RunBusyError, RunWriter, identity, read_run, run_name
from gatelab.signals import asked, stoppable
from gatelab.tasks import TASKS, Task
from gatelab.training import failures
from gatelab.training.callbacks import LastValidation, RandomState, TrainingMetrics, seed_everything
from gatelab.training.checkpoints import LAST, LastCheckpoint, WholeCheckpoints, resumable
from gatelab.training.data import EvaluationBatches, TrainingStream
from gatelab.training.lean import LeanEarlyStopping, LeanModelCheckpoint, NoProfiler
from gatelab.training.mirrors import build_loggers
from gatelab.training.module import SequenceModule
from gatelab.training.probes import GradientProbe, InsideProbe
from gatelab.training.provenance import differences, provenance
from gatelab.training.pruning import PruneOnRequest, RunPrunedError

PRECISIONS = {"f32": "32-true", "f64": "64-true", "bf16": "bf16-mixed", "f16": "16-mixed"}

_log = logging.getLogger(__name__)


class RunFailedError(RuntimeError):
    """A run ended without a result. Its directory says why."""


def fit(config: Config, watchers: Sequence[Callback] = (), launcher: str | None = None) -> Run:
    """Trains, validates and tests one run, and records it in its directory.

    A finished run is returned as it is. A run that was cut off goes on from its last checkpoint and ends bit for bit where it would
    have ended (same machine, same number of threads).

    Args:
        config: what to compute, checked.
        watchers: callbacks in front of our own. They are not part of the run's identity and must not change what is computed.
        launcher: what started this process, if it is one of a sweep's; noted in the status.

    Returns:
        The finished run.

    Raises:
        UserError: the configuration cannot be built.
        RunBusyError: another process is training this run.
        RunFailedError: training broke down; the directory has state `failed`, the error and the last good checkpoint. Or it did so
            before, and is left alone (machine.retry). Or a search ended it early: it has state `pruned`.
        KeyboardInterrupt: it was stopped, by Ctrl-C or (`Stopped`) a signal; the directory has state `preempted`.
    """
    plugins = {path: load_plugin(path, (CELLS, TASKS)) for path in config.plugins}
    resolved = asdict(config)
    run_id = identity(resolved, plugins.values())
    path = Path(config.out) / run_name(resolved, run_id)
    ended = _ended(path)
    if ended is not None and ended.state == "finished":
        _log.info("%s is finished already; delete it to train it again.", path)
        return ended
    if ended is not None and (reason := left_alone(ended, config.machine.retry)):
        raise RunFailedError(reason)

    torch.set_num_threads(config.machine.threads)
    if config.machine.allocator == "keep" and (reason := keep_memory()):
        _log.info("%s", reason)
    seed_everything(config.seed)
    task = TASKS.build(**config.task)
    model = build_model(config, task)
    trainer_options = accelerator(config)
    origin = provenance(task.data_hashes(), plugins)
    with stoppable(), contextlib.closing(RunWriter(path)) as writer:
        ended = _ended(path)
        if ended is not None and ended.state == "finished":  # by somebody else, just now
            return ended
        resume = resumable(path / "checkpoints")
        if resume is not None:
            origin |= _changed(path, origin)
        exit_code = 1
        loggers = []
        try:
            writer.start(resolved, origin, run_id, launcher, config.machine.threads)
            loggers = build_loggers(config, writer, run_id, resolved)
            summary, step = _train(config, model, task, writer, loggers, [*watchers], trainer_options, resume)
            writer.finish(summary, step)
            exit_code = 0
        except (Exception, KeyboardInterrupt, SystemExit) as error:
            _note_end(writer, error)
        finally:
            for logger in loggers:
                logger.close(exit_code)
    return read_run(path)


def _ended(path: Path) -> Run | None:
    """The run if its directory says that it has ended, and can be read."""
    try:
        run = read_run(path)
        if run.state == "finished":
            run.summary()
    except UserError as error:
        if (path / "status.json").exists():
            _log.warning("%s: %s. The run goes on from its last checkpoint.", path, error)
        return None
    return run if run.state in ("finished", "failed") else None


def left_alone(run: Run, retry: str) -> str | None:
    """Why a run that failed is not tried again; None if it is."""
    failed = f"{run.path} failed before: {run.status.get('error')}"
    if run.diverged and retry != "all":
        return f"{failed} It would diverge again, and is left alone; machine.retry=all trains it nevertheless."
    if run.state == "failed" and retry == "none":
        return f"{failed} It is left alone (machine.retry=none)."
    return None


def _changed(path: Path, origin: Mapping[str, Any]) -> dict[str, Any]:
    """What is not as it was when the run began, for its provenance; says so."""
    try:
        before = read_json(path / "provenance.json")
    except UserError:
        return {}
    changed = differences(before, origin)
    if changed:
        _log.warning("%s goes on where its last bits may come out differently. %s.", path, "; ".join(changed))
    changed = [*before.get("changed", []), *changed]
    return {"changed": changed} if changed else {}


def _note_end(writer: RunWriter, error: BaseException) -> NoReturn:
    """Writes down what ended a run that did not finish, and raises what the caller of `fit` is to get."""
    if isinstance(error, RunBusyError):  # another process goes on with it
        raise error
    if isinstance(error, Exception):
        error = asked() or error  # a library may have made an error of its own of a signal
    if not isinstance(error, Exception):  # Ctrl-C or a signal
        writer.preempt("Interrupted; the same command goes on from the last checkpoint.")
        # Lightning makes SystemExit(1) of Ctrl-C, which would end the process like a failure.
        raise (error.__context__ if isinstance(error.__context__, KeyboardInterrupt) else error) from None
    if isinstance(error, RunPrunedError):
        writer.prune(str(error))
        raise RunFailedError(f"{writer.path} ended early: {error}") from error
    cause, reason = failures.explain(error, writer.path)
    last = writer.path / "checkpoints" / LAST
    writer.fail(reason, "".join(traceback.format_exception(error)), str(last) if last.exists() else None, cause)
    raise RunFailedError(f"{writer.path} failed: {reason}") from error


def check(config: Config) -> None:
    """Refuses what cannot be trained here, before anything is written.

    Raises:
        UserError: an unknown cell, task, option or backend, a value that is not accepted, or data or a device that is not there.
    """
    task = TASKS.build(**config.task)
    task.size("train")  # a data set that cannot be had is refused here
    CELLS.build(**config.cell).check(config.cell["name"])
    with torch.device("meta"):
        build_model(config, task)
    check_backend(config.model.backend)
    accelerator(config)


def build_model(config: Config, task: Task) -> SequenceModel:
    """The model of a run; its weights depend on torch's random state.

    Raises:
        UserError: the cell or one of its options does not exist, it lacks what `init` sets, no hidden size makes it as large as
            `match` asks, or a stream is to be read backwards.
    """
    if task.carried and config.model.bidirectional:
        raise UserError(
            f"model.bidirectional is true, but task '{config.task['name']}' is a stream without end, which cannot be read from "
            "there. Use model.bidirectional=false."
        )
    shape, cell = config.model, CELLS.build(**config.cell)
    directions = 2 if shape.bidirectional else 1
    hidden_size = shape.hidden_size
    if shape.match == "parameters":
        sizes = (task.input_size, task.output_size, hidden_size, shape.num_layers, directions)
        hidden_size = matched_size(cell, CELLS.build(shape.match_to), *sizes, shape.bias)
    rnn = RNN(
        cell,
        task.input_size,
        hidden_size,
        shape.num_layers,
        shape.bias,
        True,
        shape.dropout,
        shape.bidirectional,
        shape.backend,
        config.machine.checkpoint_every,
    )
    initialize(rnn, config.init)
    return SequenceModel(rnn, task.output_size, task.readout, task.vocabulary, shape.dropout, shape.input_noise)


def accelerator(config: Config) -> dict[str, Any]:
    """Lightning's arguments for device and number format.

    Raises:
        UserError: the device is not there, or cannot compute in this format.
    """
    device = config.machine.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if (device == "cuda" and not torch.cuda.is_available()) or (device == "mps" and not torch.backends.mps.is_available()):
        raise UserError(
            f"machine.device is '{device}', but torch {torch.__version__} finds no such device here. Use machine.device=cpu."
        )
    if config.trainer.precision == "f16" and device == "cpu":
        raise UserError("trainer.precision is f16, but float16 trains only on a GPU. Use f32, f64 or bf16 on the CPU.")
    return {"accelerator": device, "devices": 1, "precision": PRECISIONS[config.trainer.precision]}


def _train(
    config: Config,
    model: SequenceModel,
    task: Task,
    writer: RunWriter,
    loggers: list[Any],
    callbacks: list[Callback],
    trainer_options: dict[str, Any],
    resume: Path | None,
) -> tuple[dict[str, Any], int]:
    """Runs Lightning; returns the summary and the optimiser steps made."""
    settings = config.trainer
    if settings.precision == "f64":
        model.double()  # Lightning would do so only when it has put the weights of a checkpoint into float32
    module = SequenceModule(model, task, config)
    monitor = keys.score("val", task.metric)
    mode = "max" if task.higher_is_better else "min"
    folder = writer.path / "checkpoints"
    best = LeanModelCheckpoint(dirpath=folder, filename="best", monitor=monitor, mode=mode, enable_version_counter=False)
    meter = TrainingMetrics(settings.log_every, writer)
    callbacks += [
        meter,
        InsideProbe(settings.probe_every, model, task, settings.saturated_below, settings.saturated_above),
        GradientProbe(settings.log_every, settings.probe_every, model, settings.clip_norm),
        RandomState(),
        LastValidation(),
        PruneOnRequest(writer.path),
        best,
        LastCheckpoint(folder, config.machine.checkpoint_steps, config.machine.checkpoint_seconds),
    ]
    if settings.patience is not None:
        callbacks.append(LeanEarlyStopping(monitor, patience=settings.patience, mode=mode))
    with warnings.catch_warnings():
        _quiet()
        trainer = Trainer(
            max_steps=settings.max_steps,
            max_time={"seconds": settings.max_seconds} if settings.max_seconds else None,  # type: ignore[arg-type]
            val_check_interval=settings.val_every,
            check_val_every_n_epoch=None,
            gradient_clip_val=settings.clip_norm,
            logger=loggers,
            callbacks=callbacks,
            profiler=NoProfiler(),
            # The second: Lightning would take a job of Slurm for a part of a larger training, and requeue it in a way of its own.
            plugins=[WholeCheckpoints(), LightningEnvironment()],
            default_root_dir=writer.path,
            num_sanity_val_steps=0,
            enable_progress_bar=False,
            enable_model_summary=False,
            detect_anomaly=settings.detect_anomaly,
            **trainer_options,
        )
        seed = config.seed if config.data_seed is None else config.data_seed
        stream = TrainingStream(task, seed, settings.batch_size, start=lambda: trainer.global_step)
        trainer.fit(module, stream, EvaluationBatches(task, "val"), ckpt_path=resume, weights_only=True)
        step = trainer.global_step
        kept = torch.load(best.best_model_path, weights_only=True, map_location="cpu")
        trainer.test(module, EvaluationBatches(task, "test"), ckpt_path=best.best_model_path, weights_only=True, verbose=False)
    summary = _summary(config, model, task, writer) | {
        "seconds_per_step": meter.seconds_per_step(),
        "wall_seconds": writer.wall_seconds,
        "steps": step,
        "best_step": kept["global_step"],
        "val": kept["gatelab_scores"],
        "test": {key.partition("/")[2]: value for key, value in module.scores.items()},
    }
    return summary, step


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
