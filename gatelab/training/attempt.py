"""An attempt at a run: leaves a finished run alone, locks its directory, and records begin and end."""

import contextlib
import logging
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from lightning.pytorch import Callback

from gatelab.errors import UserError
from gatelab.models import SequenceModel
from gatelab.process.signals import asked
from gatelab.runs import Run, RunBusyError, RunWriter, SilentWriter, Writer, read_run
from gatelab.runs.files import NewerFormatError, read_formatted
from gatelab.training import failures
from gatelab.training.checkpoints import LAST
from gatelab.training.failures import PeerLostError, RunFailedError, left_alone
from gatelab.training.loggers import MetricsLogger
from gatelab.training.parallel import Team
from gatelab.training.provenance import differences
from gatelab.training.pruning import RunPrunedError
from gatelab.training.spec import Spec
from gatelab.training.wandb.mirror import build_loggers

_SECONDS_BETWEEN_TRIES = 2.0  # to wait for a lock

_log = logging.getLogger(__name__)


@dataclass
class Attempt:
    """Everything that an attempt at a run needs.

    Attributes:
        spec, model: the run and its model.
        writer: the writer of its directory.
        team: the processes that train it.
        watchers: callbacks in front of our own.
        device: Lightning's arguments for device and number format.
        resume: the checkpoint to resume from.
        loggers: the loggers of this process, set by `record`; only the leader of the team has any.
    """

    spec: Spec
    model: SequenceModel
    writer: Writer
    team: Team
    watchers: Sequence[Callback]
    device: dict[str, Any]
    resume: Path | None
    loggers: Sequence[MetricsLogger] = ()


def settled(spec: Spec, team: Team) -> Run | None:
    """The run, if it is finished; None if it is to be trained.

    Raises:
        RunFailedError: it failed before and is left alone (machine.retry).
    """
    ended = team.from_leader(lambda: _ended(spec.path))
    if ended is None:
        return None
    if ended.state == "finished":
        _log.info("%s is already finished; delete it to train it again.", spec.path)
        return ended
    if reason := left_alone(ended, spec.config.machine.retry):
        raise RunFailedError(reason)
    return None


@contextlib.contextmanager
def locked(path: Path, team: Team, seconds: float) -> Iterator[Writer]:
    """The run directory for writing, locked if this process leads the team.

    Args:
        seconds: how long to wait for the lock.

    Raises:
        RunBusyError, UserError: as RunWriter.
    """
    with contextlib.closing(_writer(path, seconds) if team.leader else SilentWriter(path)) as writer:
        yield writer


def _writer(path: Path, seconds: float) -> RunWriter:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return RunWriter(path)
        except RunBusyError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_SECONDS_BETWEEN_TRIES)


def record(
    attempt: Attempt, origin: Mapping[str, Any], launcher: str | None, train: Callable[[Attempt], tuple[dict[str, Any], int]]
) -> None:
    """Calls `train`, and records the begin of the run and its summary or error.

    Args:
        origin: its provenance.
        launcher: the launcher that started this process, in a sweep.
        train: returns the summary and the optimiser steps made.

    Raises:
        RunFailedError, KeyboardInterrupt, RunBusyError: as `fit`.
    """
    exit_code, writer, spec = 1, attempt.writer, attempt.spec
    if attempt.resume is not None:
        origin = {**origin, **_changed(writer.path, origin)}
    try:
        own = spec.identity
        writer.start(spec.plain, origin, own.run_id, launcher, spec.config.machine.threads, own.copies())
        if attempt.team.leader:
            attempt.loggers = build_loggers(spec, writer)
        summary, step = train(attempt)
        writer.finish(summary, step)
        exit_code = 0
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        _record_end(writer, error)
    finally:
        for logger in attempt.loggers:
            logger.close(exit_code)


def _ended(path: Path) -> Run | None:
    """The run if it has ended and can be read; logs damage."""
    try:
        run = read_run(path)
        damage = run.damage()
    except NewerFormatError as error:
        raise UserError(f"{path}: {error}.") from error
    except UserError as error:
        if not (path / "status.json").exists():
            return None
        run, damage = None, str(error)
    if damage is not None:
        _log.warning("%s: %s. The run is completed from its last checkpoint.", path, damage)
    return run if run is not None and run.outcome in ("finished", "failed") else None


def _changed(path: Path, origin: Mapping[str, Any]) -> dict[str, Any]:
    """Differences of the setup since the run began, for its provenance; logs them."""
    try:
        before = read_formatted(path / "provenance.json")
    except UserError:
        return {}
    changed = differences(before, origin)
    if changed:
        _log.warning("Resuming %s on a different setup; results may differ in the last bits. %s.", path, "; ".join(changed))
    changed = [*before.get("changed", []), *changed]
    return {"changed": changed} if changed else {}


def _record_end(writer: Writer, error: BaseException) -> NoReturn:
    """Records what ended an unfinished run, and raises the error for the caller of `fit`."""
    if isinstance(error, RunBusyError):  # another process continues it
        raise error
    if isinstance(error, Exception):
        error = asked() or error  # a library may have turned a signal into another error
    if not isinstance(error, Exception):  # Ctrl-C or a signal
        writer.preempt("Interrupted; the same command resumes from the last checkpoint.")
        # Lightning turns Ctrl-C into SystemExit(1), which would look like a failure.
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
