"""The launcher `local`: every job of a sweep in its own process, as many at once as fit on this machine."""

import contextlib
import functools
import logging
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from gatelab.errors import UserError
from gatelab.options import option
from gatelab.sweeps.contracts import Launcher
from gatelab.sweeps.jobs.needs import MOST_JOBS, Needs, room
from gatelab.sweeps.launch.pool import MODULES, Ended, Pool, describe, start_server

if TYPE_CHECKING:
    from gatelab.sweeps.launch.batch import JobBatch, Work


_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Local(Launcher):
    """A process for every run, one thread each (machine.threads).

    A job whose process dies is marked as failed in its directory, and the others continue.
    """

    here: ClassVar[bool] = True
    logs_refusals: ClassVar[bool] = False  # the process of the command does
    repeatable: ClassVar[tuple[str, ...]] = ("n_jobs",)

    n_jobs: int = option(-1, "runs at once; -1: as many as the cores and the free memory allow", minimum=-1, maximum=MOST_JOBS)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_jobs == 0:
            raise UserError("Local: option 'n_jobs' is 0, but it must be at least 1, or -1 for as many as fit.")

    @classmethod
    def start_ahead(cls) -> None:
        """Starts the server of the jobs, which begins to import."""
        start_server(MODULES)

    def at_once(self, needs: Sequence[Needs]) -> int | None:
        if not needs:
            return None
        if self.n_jobs > 0:
            return min(self.n_jobs, len(needs))
        there = room()
        threads, memory = max(item.threads for item in needs), max(item.memory for item in needs)
        return min(len(needs), max(1, min(there.threads // threads, there.memory // memory)))

    def train(self, batch: "JobBatch") -> None:
        from gatelab.sweeps.jobs.resources import needs_of

        # Overrides that make the same run are trained once.
        left = list({batch.jobs[number].path: number for number in batch.queue()}.values())
        needs = [needs_of(batch.jobs[number].config) for number in left]
        calls = [(batch.first + number, batch.overrides[number], batch.jobs[number].path) for number in left]
        pool = Pool(MODULES, room(), self.n_jobs if self.n_jobs > 0 else None)
        with contextlib.closing(pool.run(functools.partial(_train, batch.work()), calls, needs)) as ends:
            for end in ends:
                if not isinstance(end.result, float):
                    _mark(calls[end.index][-1], end)


def _mark(path: Path, end: Ended) -> None:
    """Records in the directory of a run how its process died, unless the run did so itself."""
    from gatelab.runs.writer import mark

    stopped = end.exit_status == 128 + signal.SIGTERM  # another process trains it, as its directory shows
    reason = end.error.partition("\n")[0] or f"It ended without a record: {describe(end.exit_status)}."
    if not mark(path, "failed", reason, "error" if end.error else "killed") and not stopped:
        _log.error("%s: %s", path.name, reason)


def _train(work: "Work", number: int, overrides: Sequence[str], path: Path) -> float:
    """Trains one job, in its own process; returns its score.

    Raises:
        UserError: it cannot be trained, or its identity has changed since the sweep began.
    """
    from gatelab.runs.files import disk_is_full, full_disk

    try:
        done = work(number, overrides, path)
    except OSError as error:  # raised by Hydra, which writes before the run begins
        if not disk_is_full(error):
            raise
        raise UserError(full_disk(error)) from error
    if work.session.refused:
        raise work.session.refused[-1]
    return float(done.return_value)
