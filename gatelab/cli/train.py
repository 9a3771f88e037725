"""`gatelab train`: a Hydra application over `conf/`."""

import argparse
import functools
import os
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import hydra
from hydra.core.override_parser.types import Override

from gatelab.cli.arguments import resume_command
from gatelab.errors import UserError
from gatelab.process import place
from gatelab.process.signals import stoppable
from gatelab.runs.sweep import write_plan
from gatelab.sweeps.jobs import compose, settings
from gatelab.sweeps.jobs.recorded import check_planned
from gatelab.sweeps.launch import common, local
from gatelab.sweeps.launch.job import failed, job, refused
from gatelab.sweeps.launch.preflight import Preflight, preflight
from gatelab.sweeps.launch.progress import Progress
from gatelab.sweeps.search.storage import without_passwords
from gatelab.sweeps.search.studies import search_name

if TYPE_CHECKING:
    from gatelab.sweeps.search.search import Search

DRY_RUN = "--dry-run"  # not Hydra's


def train(arguments: list[str], planned: Collection[str] | None = None) -> int:
    """Runs `gatelab train` with Hydra's command line.

    Args:
        arguments: of the command.
        planned: names of the only runs that a sweep may consist of, when it is resumed; None: it may be any.

    Returns:
        The exit status: 0, or 1 if a run failed.

    Raises:
        UserError: the overrides do not describe a run.
    """
    from hydra._internal.utils import get_args_parser

    for mailbox in (refused, failed, common.refused):  # what an earlier call in this process left
        mailbox.clear()
    arguments = without_passwords(arguments)
    dry = DRY_RUN in arguments
    arguments = [item for item in arguments if item != DRY_RUN]
    arguments = compose.with_absolute_plugins(arguments)
    given = _parser(get_args_parser).parse_args(arguments)
    overrides = compose.parse(given.overrides)
    plugins = {str(plugin.path): plugin.digest for plugin in compose.load_plugins(overrides)}
    compose.register_schemas()
    inspecting = given.help or given.hydra_help or given.cfg or given.info or given.shell_completion
    for name in ("config_name", "config_dir", "config_path"):
        if getattr(given, name):
            raise UserError(
                f"--{name.replace('_', '-')} is not accepted: gatelab has one configuration. Give the options of a run on the "
                "command line, as in model.hidden_size=64."
            )
    if inspecting:
        return _hydra(arguments)
    settings.check(overrides)
    if given.multirun and place.place() is not None:
        raise UserError("torchrun trains one run in several processes, -m several runs: leave out one of the two.")
    searching = given.multirun and compose.sweeper(overrides) == "optuna"
    if given.multirun and not any(override.key_or_group == "sweep" for override in overrides):
        # A search goes on when its command is given again, so its name follows from what it searches.
        name = f"sweep={search_name(overrides) if searching else time.strftime('%Y%m%d-%H%M%S')}"
        arguments = [*arguments, name]
        overrides += compose.parse([name])
    launcher = str(compose.given(overrides, "hydra/launcher", "local")) if given.multirun else ""
    common.require(launcher)
    options = settings.read(overrides, "launcher", launcher)
    if given.multirun:
        settings.read(overrides, "sweeper", compose.sweeper(overrides))
    if launcher == "local" and not dry:
        local.start()  # it imports while this process composes
    jobs = compose.compose_jobs(overrides, given.multirun)
    if planned is not None and not searching:
        check_planned(jobs, planned)
    ahead = preflight(jobs, launcher, getattr(options, "n_jobs", -1))
    if not place.leads():
        return 0 if dry else _follow(arguments)
    plan = functools.partial(_plan, arguments=arguments, plugins=plugins)
    progress, search = _watched(jobs, ahead, overrides, plan, launcher, searching, given.multirun, dry)
    if dry:
        return 0
    if given.multirun and not searching:
        plan(jobs)
    broken = _train(jobs, arguments, progress, given.multirun)
    status = progress.summarise() or broken
    if search is not None:
        from gatelab.sweeps.search.results import print_found

        print_found(search)
    return status


def _parser(make: Callable[[], argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Hydra's parser, which refuses as everything here does."""

    def refuse(message: str) -> NoReturn:
        raise UserError(f"train: {message}. See `gatelab train --help`.")

    parser = make()
    parser.error = refuse  # type: ignore[method-assign]
    return parser


def _watched(
    jobs: Sequence[compose.Job],
    ahead: Preflight,
    overrides: list[Override],
    plan: Callable[[Sequence[compose.Job]], None],
    launcher: str,
    searching: bool,
    multirun: bool,
    dry: bool,
) -> "tuple[Progress, Search | None]":
    """The progress bar of what is ahead, which it says (of a single run only where it is not all to train), and the search."""
    show = all(item.config.machine.progress for item in jobs)
    requeued = launcher in common.PACKAGES
    search = None
    if searching:  # these jobs only stood for its runs, which come batch by batch
        from gatelab.sweeps.search import search as searches

        search = searches.prepare(overrides, lambda batch: (plan(batch), progress.add([item.path for item in batch])), dry)
        ahead = ahead.scaled(search.trials_left(), search.jobs_at_once)
        progress = Progress([], show, expected=search.trials_left(), requeued=requeued)
        progress.say(*search.lines())
    else:
        progress = Progress([item.path for item in jobs], show, requeued=requeued)
    if sum(ahead.counts.values()) and (multirun or dry or ahead.runs_finished or ahead.left_alone):
        progress.say(*ahead.lines())
    return progress, search


def _train(jobs: Sequence[compose.Job], arguments: list[str], progress: Progress, multirun: bool) -> int:
    """Hands over to Hydra, and watches.

    Returns:
        1 if Hydra gave up, else 0.

    Raises:
        UserError: what a launcher, or the single run, refused.
    """
    # One thread a process also for what is not torch; the configuration decides about torch itself.
    os.environ.setdefault("OMP_NUM_THREADS", str(jobs[0].config.machine.threads))
    try:
        with progress, stoppable():
            broken = _hydra(arguments)
    except KeyboardInterrupt:
        if multirun:
            resume = resume_command(jobs[0].config.out, str(jobs[0].config.sweep))
            progress.say(f"Stopped. The same command resumes what is not finished, and so does: {resume}")
        raise
    if common.refused:
        raise common.refused.pop()
    if refused and not multirun:
        raise refused.pop()
    return broken


def _follow(arguments: list[str]) -> int:
    """As `_train` where another process leads, which writes and says everything; returns the exit status."""
    with stoppable():
        broken = _hydra([*arguments, "hydra.output_subdir=null"])
    if refused:
        raise refused.pop()
    return 1 if failed else broken


def _plan(jobs: Sequence[compose.Job], arguments: Sequence[str], plugins: Mapping[str, str]) -> None:
    configs = {item.path: item.config.plain() for item in jobs}
    write_plan(configs, {item.path: item.overrides for item in jobs}, arguments, plugins)


def _hydra(arguments: list[str]) -> int:
    """Hands over to Hydra; 1 if it gave up, which it has explained, else 0."""
    argv = sys.argv
    sys.argv = [argv[0], *arguments]
    try:
        main: Any = hydra.main  # whose arguments depend on its version
        main(config_path=str(compose.conf_folder()), config_name="train", **compose.VERSION_BASE, **compose.WHITELIST)(job)()
    except SystemExit as gave_up:
        return 1 if gave_up.code else 0
    finally:
        sys.argv = argv
    return 0
