"""What all launchers of gatelab share: the jobs they are given, how one is run, and the results of all."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, run_job, setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, open_dict
from omegaconf.errors import OmegaConfBaseException

from gatelab.errors import UserError
from gatelab.runs import enqueue, mark, outcome_of, read_run
from gatelab.runs.files import disk_is_full, full_disk
from gatelab.sweeps.contracts import LAUNCHERS
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.jobs.settings import plain
from gatelab.sweeps.launch.job import SECONDS_FOR_A_LOCK, JobFunction
from gatelab.sweeps.session import Session

ENDED_WELL = ("finished", "pruned")
_SECONDS_BETWEEN_TRIES = 2.0


@dataclass(frozen=True)
class Work:
    """Composes and trains one job, in a separate process; it can be pickled.

    Attributes:
        context, config: Hydra's loader of configurations and its callbacks, and the configuration of the sweep.
        task: the function of a job.
        singletons: the state of Hydra in the launching process.
    """

    context: HydraContext
    task: JobFunction
    config: DictConfig
    singletons: Mapping[Any, Any]

    @property
    def session(self) -> Session:
        """The session of the process that has the batch."""
        return self.task.session

    def __call__(self, number: int, overrides: Sequence[str], path: Path) -> JobReturn:
        """Runs a job.

        Args:
            number: its place in the sweep.
            overrides: its overrides.
            path: the directory that the run had when the sweep began.

        Raises:
            UserError: it is no longer the run that it was when the sweep began.
        """
        composed = compose_again(self.context, self.config, self.singletons, overrides, path)
        with open_dict(composed):
            composed.hydra.job.id = f"{composed.hydra.job.name}_{number}"
            composed.hydra.job.num = number
        HydraConfig.instance().set_config(composed)
        return run_job(
            hydra_context=self.context,
            config=composed,
            task_function=self.task,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )


@dataclass(frozen=True)
class JobBatch:
    """Jobs that Hydra hands to a launcher at once.

    Attributes:
        launcher: its name; `settings`: its options, those that it does not declare included.
        overrides: of every job; `jobs`: the same, composed and checked; `first`: the number of the first of them in the sweep.
        context: Hydra's loader of configurations and its callbacks; `config`: the configuration of the sweep.
        task: the function of a job.
    """

    launcher: str
    settings: Mapping[str, Any]
    overrides: Sequence[list[str]]
    jobs: Sequence[compose.Job]
    first: int
    context: HydraContext
    config: DictConfig
    task: JobFunction

    def queue(self) -> list[int]:
        """Marks the unfinished runs as queued in their directories; called when they can be trained.

        Returns:
            Their places in `jobs`.
        """
        return queue(self.jobs, self.launcher)

    def work(self) -> Work:
        """The picklable function that trains one of them."""
        return Work(self.context, self.task, self.config, Singleton.get_state())

    def train_here(self, number: int) -> None:
        """Trains the job at this place in this process."""
        self.work()(self.first + number, self.overrides[number], self.jobs[number].path)
        _configure_log(self.config)  # again: the job has its own


def launch(
    launcher: str,
    settings: Mapping[str, Any],
    overrides: Sequence[list[str]],
    first: int,
    context: HydraContext,
    task: JobFunction,
    config: DictConfig,
) -> list[JobReturn]:
    """Trains the runs of these overrides with a launcher.

    Args:
        launcher, settings, overrides, first, context, task, config: as in `JobBatch`.

    Returns:
        The result of every job, in their order: its score, or nan without one. Configurations are left out: a sampler needs
        none, and those of a thousand jobs take a gigabyte.
    """
    setup_globals()
    _configure_log(config)
    settings = {name: plain(value) for name, value in settings.items()}
    with _refusing(task.session):
        jobs = [task.session.composer.job_of(item, functools.partial(_load, context, config, item)) for item in overrides]
        cls = LAUNCHERS.get(launcher)
        trains = cls(**{field.name: settings[field.name] for field in fields(cls)})
        Path(str(config.hydra.sweep.dir)).mkdir(parents=True, exist_ok=True)
        trains.train(JobBatch(launcher, settings, overrides, jobs, first, context, config, task))
    return [outcome(item, job) for item, job in zip(overrides, jobs, strict=True)]


@contextlib.contextmanager
def _refusing(session: Session) -> Iterator[None]:
    """Ends Hydra if the launcher cannot be used or the disk is full, and leaves the reason in the session."""
    try:
        yield
    except UserError as error:
        session.unusable = error
        raise SystemExit(2) from error
    except OSError as error:
        if not disk_is_full(error):
            raise
        session.unusable = UserError(full_disk(error))
        raise SystemExit(2) from error


def _configure_log(config: DictConfig) -> None:
    configure: Callable[..., None] = configure_log  # whose arguments depend on Hydra's version
    configure(config.hydra.hydra_logging, config.hydra.verbose, **compose.WHITELIST)


def _load(context: HydraContext, config: DictConfig, overrides: Sequence[str]) -> DictConfig:
    return context.config_loader.load_sweep_config(config, [*overrides])


def compose_again(
    context: HydraContext, config: DictConfig, singletons: Mapping[Any, Any], overrides: Sequence[str], path: Path
) -> DictConfig:
    """The configuration of a job, in its own process; the arguments are those of `Work`.

    Raises:
        UserError: it is no longer the run that it was when the sweep began.
    """
    setup_globals()
    Singleton.set_state(dict(singletons))
    try:
        composed = _load(context, config, overrides)
        now = compose.directory(composed)
    except (HydraException, OmegaConfBaseException) as error:
        raise compose.Composer().refusal(error, overrides) from error
    if now != path:
        raise UserError(f"It would be {now.name} now: its plugin or its data have changed since the sweep began. Begin it again.")
    return composed


def queue(jobs: Sequence[compose.Job], launcher: str) -> list[int]:
    """Like `JobBatch.queue`."""
    left = [number for number, job in enumerate(jobs) if outcome_of(job.path) not in ENDED_WELL]
    for number in left:
        enqueue(jobs[number].path, jobs[number].config.plain(), jobs[number].run_id, launcher)
    return left


def note(job: compose.Job, state: str, error: str, cause: str = "killed") -> None:
    """Like `mark`, for a process that was killed on another machine: waits until its lock is silent."""
    deadline = time.monotonic() + SECONDS_FOR_A_LOCK
    while not mark(job.path, state, error, cause) and outcome_of(job.path) == "running" and time.monotonic() < deadline:
        time.sleep(_SECONDS_BETWEEN_TRIES)


def outcome(overrides: Sequence[str], job: compose.Job) -> JobReturn:
    """Hydra's result for a job: the validation score from its directory, nan if it has none."""
    done = JobReturn(overrides=[*overrides], status=JobStatus.COMPLETED)
    done.return_value = float("nan")
    with contextlib.suppress(UserError):
        run = read_run(job.path)
        if run.outcome == "finished":
            summary: dict[str, Any] = run.summary()
            done.return_value = float(summary["val"][summary["metric"]])
    return done
