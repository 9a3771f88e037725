"""What the launchers `local`, `slurm` and `ray` share: the jobs they are given, how one is run, what became of all of them."""

import contextlib
import functools
import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from gatelab.config import Config
from gatelab.errors import UserError
from gatelab.runs import Run, enqueue, mark, outcome_of, read_run
from gatelab.runs.files import disk_is_full, full_disk
from gatelab.runs.lock import LOCK_SILENT_SECONDS
from gatelab.sweeps.jobs import compose

LEAN_IMPORTS = "gatelab.training.lean_imports"  # to be imported before gatelab.training.fit
PACKAGES = {"slurm": "submitit", "ray": "ray"}  # launcher -> what its extra brings
ENDED_WELL = ("finished", "pruned")
# A job that comes back from a node that is gone finds the lock of its own past, which counts as held until it is silent for long.
SECONDS_FOR_A_LOCK = 2 * LOCK_SILENT_SECONDS
_SECONDS_BETWEEN_TRIES = 2.0

refused: list[UserError] = []  # by a launcher; Hydra would turn it into a traceback


def require(launcher: str) -> None:
    """Refuses a launcher whose packages are not installed.

    Raises:
        UserError: with the command that installs them.
    """
    package = PACKAGES.get(launcher)
    if package is not None and importlib.util.find_spec(package) is None:
        raise UserError(f"hydra/launcher={launcher} needs the package {package}: pip install 'gatelab[{launcher}]'.")


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Ends Hydra where the cluster cannot be used or the disk is full, and leaves the reason in `refused`."""
    try:
        yield
    except UserError as error:
        refused.append(error)
        raise SystemExit(2) from error
    except OSError as error:
        if not disk_is_full(error):
            raise
        refused.append(UserError(full_disk(error)))
        raise SystemExit(2) from error


def fit_when_free(config: Config, launcher: str | None) -> Run:
    """As `fit`; on a cluster it waits until the lock of a process whose node died can be broken.

    Raises:
        RunBusyError: somebody alive is training this run.
        UserError, RunFailedError, KeyboardInterrupt: as `fit`.
    """
    # With Lightning, which a process that only hands out jobs does not need.
    importlib.import_module(LEAN_IMPORTS)
    from gatelab.training.fit import fit

    return fit(config, launcher=launcher, lock_seconds=SECONDS_FOR_A_LOCK if launcher in PACKAGES else 0.0)


def launch(
    launcher: str,
    overrides: Sequence[Sequence[str]],
    context: HydraContext,
    config: DictConfig,
    train: Callable[[list[compose.Job], Callable[[], list[int]]], object],
) -> list[JobReturn]:
    """Trains the runs of these overrides, in the way of one launcher.

    Args:
        launcher: its name.
        overrides: of every job.
        context: Hydra's loader of configurations and its callbacks.
        config: the configuration of the sweep.
        train: trains the jobs that it is given and returns when all of them have ended. The second argument is called once it is
            sure that they can be trained: it notes in the directories of those that have not ended that they are waiting, and
            returns their places among the jobs.

    Returns:
        What became of every job, in their order: its score, nan where there is none. Configurations are left out: a sampler wants
        none, and those of a thousand jobs are a gigabyte.
    """
    setup_globals()
    configure: Any = configure_log  # whose arguments depend on Hydra's version
    configure(config.hydra.hydra_logging, config.hydra.verbose, **compose.WHITELIST)
    jobs = jobs_of(overrides, context, config)
    train(jobs, functools.partial(queue, jobs, launcher))
    return [outcome(item, job) for item, job in zip(overrides, jobs, strict=True)]


def run_one(
    context: HydraContext,
    task: TaskFunction,
    config: DictConfig,
    singletons: Mapping[Any, Any],
    overrides: Sequence[str],
    number: int,
    path: Path,
) -> JobReturn:
    """Composes and runs one job, in a process of its own.

    Args:
        context, config: as in `launch`.
        task: the function of a job.
        singletons: the state of Hydra in the launching process.
        overrides: of the job.
        number: of the job in the sweep.
        path: the directory that the run had when the sweep began.

    Raises:
        UserError: it is no longer the run that it was when the sweep began.
    """
    composed = compose_again(context, config, singletons, overrides, path)
    with open_dict(composed):
        composed.hydra.job.id = f"{composed.hydra.job.name}_{number}"
        composed.hydra.job.num = number
    HydraConfig.instance().set_config(composed)
    return run_job(
        hydra_context=context,
        config=composed,
        task_function=task,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )


def compose_again(
    context: HydraContext, config: DictConfig, singletons: Mapping[Any, Any], overrides: Sequence[str], path: Path
) -> DictConfig:
    """The configuration of a job, in a process of its own; the arguments are those of `run_one`.

    Raises:
        UserError: it is no longer the run that it was when the sweep began.
    """
    setup_globals()
    Singleton.set_state(dict(singletons))
    try:
        composed = context.config_loader.load_sweep_config(config, [*overrides])
        now = compose.directory(composed)
    except (HydraException, OmegaConfBaseException) as error:
        raise compose.refusal(error, overrides) from error
    if now != path:
        raise UserError(f"It would be {now.name} now: its plugin or its data have changed since the sweep began. Begin it again.")
    return composed


def jobs_of(overrides: Sequence[Sequence[str]], context: HydraContext, config: DictConfig) -> list[compose.Job]:
    """The jobs that Hydra describes by their overrides."""

    def load(item: Sequence[str]) -> DictConfig:
        return context.config_loader.load_sweep_config(config, [*item])

    return [compose.job_of(item, functools.partial(load, item)) for item in overrides]


def queue(jobs: Sequence[compose.Job], launcher: str) -> list[int]:
    """Notes in the directories of runs that have not ended that they are waiting; returns their places in `jobs`."""
    left = [number for number, job in enumerate(jobs) if outcome_of(job.path) not in ENDED_WELL]
    for number in left:
        resolved = jobs[number].config.plain()
        enqueue(jobs[number].path, resolved, jobs[number].path.name.rpartition("-")[2], launcher)
    return left


def note(job: compose.Job, state: str, error: str, cause: str = "killed") -> None:
    """As `mark`, for a process that was killed on another machine: waits until its lock is silent."""
    deadline = time.monotonic() + SECONDS_FOR_A_LOCK
    while not mark(job.path, state, error, cause) and outcome_of(job.path) == "running" and time.monotonic() < deadline:
        time.sleep(_SECONDS_BETWEEN_TRIES)


def outcome(overrides: Sequence[str], job: compose.Job) -> JobReturn:
    """What Hydra is told of a job: its validation score as the directory has it, nan where there is none."""
    done = JobReturn(overrides=[*overrides], status=JobStatus.COMPLETED)
    done.return_value = float("nan")
    with contextlib.suppress(UserError):
        run = read_run(job.path)
        if run.outcome == "finished":
            summary: dict[str, Any] = run.summary()
            done.return_value = float(summary["val"][summary["metric"]])
    return done
