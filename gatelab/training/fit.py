"""One run from its configuration to its directory."""

import contextlib
import logging
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

import torch
from lightning.pytorch import Callback

from gatelab.config import Config
from gatelab.errors import UserError
from gatelab.kernels.allocator import keep_memory
from gatelab.models import SequenceModel
from gatelab.process.signals import asked, stoppable
from gatelab.runs import Run, RunBusyError, RunWriter, SilentWriter, read_run, run_name
from gatelab.runs.files import read_json
from gatelab.tasks import TASKS, Task, check_task
from gatelab.training import failures
from gatelab.training.callbacks import seed_everything
from gatelab.training.checkpoints import LAST, resumable
from gatelab.training.failures import PeerLostError, RunFailedError, left_alone
from gatelab.training.identity import Identity, identify
from gatelab.training.loop import Attempt, train
from gatelab.training.parallel import Team, check_shares, together
from gatelab.training.prepare import accelerator, build_model, served
from gatelab.training.provenance import differences, provenance
from gatelab.training.pruning import RunPrunedError
from gatelab.training.wandb.mirror import build_loggers

_SECONDS_BETWEEN_TRIES = 2.0  # to get a lock

_log = logging.getLogger(__name__)


def fit(config: Config, watchers: Sequence[Callback] = (), launcher: str | None = None, lock_seconds: float = 0.0) -> Run:
    """Trains, validates and tests one run, and records it in its directory.

    A finished run is returned as it is. A run that was cut off goes on from its last checkpoint and ends bit for bit where it would
    have ended (same machine, same numbers of threads and processes). Several processes that torchrun or a launcher has started
    together train it together (see `gatelab.training.parallel`), and get and raise the same.

    Args:
        config: what to compute, checked.
        watchers: callbacks in front of our own. They are not part of the run's identity and must not change what is computed.
        launcher: what started this process, if it is one of a sweep's; noted in the status.
        lock_seconds: how long to wait for a process that has the run's lock, and may be dead.

    Returns:
        The finished run.

    Raises:
        UserError: the configuration cannot be built.
        RunBusyError: another process is training this run.
        RunFailedError: training broke down; the directory has state `failed`, the error and the last good checkpoint. Or it did so
            before, and is left alone (machine.retry). Or a search ended it early: it has state `pruned`. Or one of several
            processes was killed: it has state `preempted`.
        KeyboardInterrupt: it was stopped, by Ctrl-C or (`Stopped`) a signal; the directory has state `preempted`.
    """
    resolved = asdict(config)
    own = identify(resolved)
    path = Path(config.out) / run_name(resolved, own.run_id)
    with stoppable(), together() as team:
        ended = team.from_leader(lambda: _ended(path))
        if ended is not None and ended.state == "finished":
            _log.info("%s is finished already; delete it to train it again.", path)
            return ended
        if ended is not None and (reason := left_alone(ended, config.machine.retry)):
            raise RunFailedError(reason)
        task, model, options = _built(config, team)
        backend = served(config, model, options["accelerator"])
        origin = provenance(own.data_hashes or task.data_hashes(), own.plugins, team.size, backend)
        with contextlib.closing(_writer(path, team, lock_seconds)) as writer:
            ended = team.from_leader(lambda: _ended(path))
            if ended is not None and ended.state == "finished":  # by somebody else, just now
                return ended
            resume = team.from_leader(lambda: resumable(path / "checkpoints"))
            if resume is not None:
                origin |= _changed(path, origin)
            attempt = Attempt(config, model, task, writer, team, watchers, options, resume)
            _record(attempt, resolved, origin, own, launcher)
        return team.from_leader(lambda: read_run(path))


def _built(config: Config, team: Team) -> tuple[Task, SequenceModel, dict[str, Any]]:
    """Task, model and Lightning's arguments, with this process set up for them."""
    torch.set_num_threads(config.machine.threads)
    if config.machine.allocator == "keep" and (reason := keep_memory()):
        _log.info("%s", reason)
    task = TASKS.build(**config.task)
    check_task(task, config.task["name"])
    if team.size > 1:
        check_shares(config, task, team.size)
    seed_everything(config.seed)
    model = build_model(config, task)
    team.equalise(model)
    if not team.leader:
        seed_everything(config.seed, team.rank)
    return task, model, accelerator(config, team)


def _writer(path: Path, team: Team, lock_seconds: float) -> RunWriter:
    """Takes the run directory, if this process leads.

    Raises:
        RunBusyError, UserError: as RunWriter.
    """
    if not team.leader:
        return SilentWriter(path)
    deadline = time.monotonic() + lock_seconds
    while True:
        try:
            return RunWriter(path)
        except RunBusyError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_SECONDS_BETWEEN_TRIES)


def _record(attempt: Attempt, resolved: Mapping[str, Any], origin: Mapping[str, Any], own: Identity, launcher: str | None) -> None:
    """Trains, and writes down what came of it."""
    exit_code, writer, config = 1, attempt.writer, attempt.config
    try:
        writer.start(resolved, origin, own.run_id, launcher, config.machine.threads, own.copies())
        if attempt.team.leader:
            attempt.loggers = build_loggers(config, writer, own.run_id, resolved)
        summary, step = train(attempt)
        writer.finish(summary, step)
        exit_code = 0
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        _note_end(writer, error)
    finally:
        for logger in attempt.loggers:
            logger.close(exit_code)


def _ended(path: Path) -> Run | None:
    """The run if it has ended and can be read; says what is damaged."""
    try:
        run = read_run(path)
        damage = run.damage()
    except UserError as error:
        if not (path / "status.json").exists():
            return None
        run, damage = None, str(error)
    if damage is not None:
        _log.warning("%s: %s. The run is completed from its last checkpoint.", path, damage)
    return run if run is not None and run.outcome in ("finished", "failed") else None


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
    if isinstance(error, PeerLostError):
        _log.warning("%s: %s", writer.path, error)
        writer.preempt(str(error))
        raise error
    if isinstance(error, RunPrunedError):
        writer.prune(str(error))
        raise RunFailedError(f"{writer.path} ended early: {error}") from error
    cause, reason = failures.explain(error, writer.path)
    last = writer.path / "checkpoints" / LAST
    writer.fail(reason, "".join(traceback.format_exception(error)), str(last) if last.exists() else None, cause)
    raise RunFailedError(f"{writer.path} failed: {reason}") from error
