"""The launcher `local`: every job of a sweep in a process of its own, as many at once as fit on this machine.

Hydra's plugin, in the folder `plugins`, hands over to `launch`.
"""

import contextlib
import functools
import logging
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn
from hydra.types import HydraContext, TaskFunction
from joblib import cpu_count
from omegaconf import DictConfig

from gatelab.errors import UserError
from gatelab.process.memory import available_bytes
from gatelab.runs.files import disk_is_full, full_disk
from gatelab.runs.writer import mark
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.jobs.resources import needs_of
from gatelab.sweeps.launch import common
from gatelab.sweeps.launch.job import refused
from gatelab.sweeps.launch.pool import MODULES, Ended, Need, Pool, describe, start_server

_log = logging.getLogger(__name__)


def start() -> None:
    """Has the server of the jobs begin to import."""
    start_server(MODULES)


def launch(
    overrides: Sequence[Sequence[str]],
    first: int,
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    n_jobs: int,
) -> list[JobReturn]:
    """Trains the runs of these overrides.

    A job whose process dies is marked as failed in its directory, and the others go on.

    Args:
        overrides: of every job.
        first: the number of the first of them in the sweep.
        context: Hydra's loader of configurations and its callbacks.
        task: the function of a job.
        config: the configuration of the sweep.
        n_jobs: most jobs at once; -1: as many as the cores and the free memory of this machine allow.

    Returns:
        What became of every job, as `common.launch`.
    """

    def train(jobs: list[compose.Job], queue: Callable[[], list[int]]) -> None:
        Path(str(config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        # Overrides that come to the same run are trained once.
        left = list({jobs[number].path: number for number in queue()}.values())
        needs = [needs_of(jobs[number].config) for number in left]
        calls = [(first + number, [*overrides[number]], jobs[number].path) for number in left]
        work = functools.partial(_work, context, task, config, Singleton.get_state())
        pool = Pool(MODULES, room(), n_jobs if n_jobs > 0 else None)
        with contextlib.closing(pool.run(work, calls, [Need(item.threads, item.memory) for item in needs])) as ends:
            for end in ends:
                if not isinstance(end.result, float):
                    _mark(calls[end.index][-1], end)

    with common.refusing():
        return common.launch("local", overrides, context, config, train)


def room() -> Need:
    """What all jobs together may use of this machine."""
    return Need(cpu_count(), available_bytes())


def _mark(path: Path, end: Ended) -> None:
    """Notes in the directory of a run how its process died, unless it did so itself."""
    stopped = end.exit_status == 128 + signal.SIGTERM  # by somebody else: its directory says so
    reason = end.error.partition("\n")[0] or f"Nothing is known of its end: {describe(end.exit_status)}."
    if not mark(path, "failed", reason, "error" if end.error else "killed") and not stopped:
        _log.error("%s: %s", path.name, reason)


def _work(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    singletons: Mapping[Any, Any],
    number: int,
    overrides: list[str],
    path: Path,
) -> float:
    """One job, in its own process: its score.

    Raises:
        UserError: it cannot be trained, or it is no longer the run that it was when the sweep began.
    """
    try:
        done = common.run_one(context, task, config, singletons, overrides, number, path)
    except OSError as error:  # of Hydra, which writes before the run begins
        if not disk_is_full(error):
            raise
        raise UserError(full_disk(error)) from error
    if refused:
        raise refused[-1]
    return float(done.return_value)
