"""`gatelab train`: a Hydra application over `conf/`."""

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from types import FrameType

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from gatelab.cli import compose
from gatelab.cli.progress import Progress
from gatelab.cli.storage import without_passwords
from gatelab.cli.studies import search_name
from gatelab.registry import Stopped, UserError
from gatelab.sweeps import write_plan
from gatelab.training.fit import RunFailedError, fit

_log = logging.getLogger(__name__)
_refused: list[UserError] = []  # by jobs of this process; Hydra would turn them into a traceback

compose.register_resolver()  # at import: the workers of a sweep resolve their run directory before they call `job`


def job(composed: DictConfig) -> float:
    """Trains one run; returns its validation score, or nan if it failed, so that other runs of a sweep go on."""
    try:
        run = fit(compose.to_config(composed))
    except RunFailedError:
        return float("nan")
    except UserError as error:
        _refused.append(error)
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            _log.error("%s", error)
        return float("nan")
    summary = run.summary()
    return float(summary["val"][summary["metric"]])


def train(arguments: list[str]) -> int:
    """Runs `gatelab train` with Hydra's command line.

    Returns:
        The exit status: 0, or 1 if a run failed.

    Raises:
        UserError: the overrides do not describe a run.
    """
    from hydra._internal.utils import get_args_parser

    arguments = without_passwords(arguments)
    given = get_args_parser().parse_args(arguments)
    overrides = compose.parse(given.overrides)
    compose.load_plugins(overrides)
    compose.register_schemas()
    inspecting = given.help or given.hydra_help or given.cfg or given.info or given.shell_completion
    if inspecting or given.config_name or given.config_dir or given.config_path:
        _hydra(arguments)
        return 0
    searching = given.multirun and compose.sweeper(overrides) == "optuna"
    if searching:
        from gatelab.cli import searches
        from gatelab.cli.found import print_found
    if given.multirun and not any(override.key_or_group == "sweep" for override in overrides):
        # A search goes on when its command is given again, so its name follows from what it searches.
        name = f"sweep={search_name(overrides) if searching else time.strftime('%Y%m%d-%H%M%S')}"
        arguments = [*arguments, name]
        overrides += compose.parse([name])
    jobs = compose.compose_jobs(overrides, given.multirun)
    show = all(item.config.machine.progress for item in jobs)
    if searching:
        # These jobs only stood for its runs, which are known batch by batch.
        search = searches.prepare(overrides)
        progress = Progress([], show, expected=search.trials_left())
        search.on_batch = lambda batch: (_planned(batch), progress.add([item.path for item in batch]))
    else:
        progress = Progress([item.path for item in jobs], show)
        if given.multirun:
            _planned(jobs)
    # One thread a process also for what is not torch; the configuration decides about torch itself.
    os.environ.setdefault("OMP_NUM_THREADS", str(jobs[0].config.machine.threads))
    with progress, _stopped_by(signal.SIGTERM):
        _hydra(arguments)
    if _refused and not given.multirun:
        raise _refused.pop()
    status = progress.summarise()
    if searching:
        print_found(search)
    return status


def _planned(jobs: list[compose.Job]) -> None:
    write_plan({item.path: asdict(item.config) for item in jobs})


@contextlib.contextmanager
def _stopped_by(number: signal.Signals) -> Iterator[None]:
    """Has a signal end runs as Ctrl-C does: their directories say so, and no worker of a sweep goes on alone."""

    def stop(number: int, _: FrameType | None) -> None:
        raise Stopped(number)

    before = signal.signal(number, stop)
    try:
        yield
    finally:
        signal.signal(number, before or signal.SIG_DFL)


def _hydra(arguments: list[str]) -> None:
    argv = sys.argv
    sys.argv = [argv[0], *arguments]
    try:
        with contextlib.suppress(SystemExit):
            hydra.main(config_path=str(compose.conf_folder()), config_name="train", **compose.VERSION_BASE)(job)()
    finally:
        sys.argv = argv
