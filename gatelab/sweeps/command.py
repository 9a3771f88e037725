"""What `gatelab train` does with its overrides: from a command to trained runs, by way of Hydra."""

import dataclasses
import os
import shlex
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.types import Override

from gatelab.errors import UserError
from gatelab.process import place
from gatelab.process.signals import stoppable
from gatelab.runs.sweep import write_plan
from gatelab.sweeps.contracts import Launcher, Sweeper, check_machine
from gatelab.sweeps.jobs import compose, settings
from gatelab.sweeps.jobs.choices import launcher_name
from gatelab.sweeps.jobs.recorded import check_planned
from gatelab.sweeps.launch.job import JobFunction
from gatelab.sweeps.launch.preflight import preflight
from gatelab.sweeps.launch.progress import Progress
from gatelab.sweeps.search.expand import compose_jobs, launcher_of, options_of_sweep, sweeper_of
from gatelab.sweeps.session import Session


@dataclass(frozen=True)
class TrainCommand:
    """One call of `gatelab train`.

    Attributes:
        arguments: the arguments for Hydra: without passwords, with absolute paths of plugins.
        overrides: the overrides among them.
        sweep: whether it trains several runs; `dry`: whether it only shows what it would do.
        plugins: digests of its plugins, by path.
        passwords: the removed passwords, by the URL without it.
        planned: the names of the only runs that a resumed command may train; None: any.
    """

    arguments: list[str]
    overrides: list[Override]
    sweep: bool
    dry: bool = False
    plugins: Mapping[str, str] = field(default_factory=dict)
    passwords: Mapping[str, str] = field(default_factory=dict)
    planned: Collection[str] | None = None


def train(command: TrainCommand) -> int:
    """Trains the runs of a command.

    Returns:
        The exit status: 0, or 1 if a run failed.

    Raises:
        UserError: the overrides do not describe a run, or something that it needs is missing.
    """
    settings.check(command.overrides)
    if command.sweep and place.place() is not None:
        raise UserError("torchrun trains one run in several processes, -m trains several runs: use only one of them.")
    sweeper = sweeper_of(command.overrides) if command.sweep else None
    if sweeper is not None:
        command = _named(command, sweeper)
        command = _with(command, options_of_sweep(command.overrides, recorded=command.planned is not None))
    launcher, session = launcher_of(command.overrides, command.sweep), Session()
    if not command.dry:
        launcher.start_ahead()  # in parallel with this process, which composes the runs
    jobs = compose_jobs(command.overrides, command.sweep, session.composer)
    if command.planned is not None and not (sweeper and sweeper.searches):
        check_planned(jobs, command.planned)
    if command.sweep:
        check_machine(launcher_name(command.overrides))
    if not place.leads():
        return 0 if command.dry else _follow(command)
    progress = _watched(command, jobs, launcher, sweeper, session)
    if command.dry:
        return 0
    if session.search is None and command.sweep:
        _plan(command, jobs)
    broken = _watch(command, jobs, progress, session)
    status = progress.summarise() or broken
    if session.search is not None:
        session.search.report()
    return status


def run_hydra(arguments: list[str], session: Session) -> int:
    """Runs Hydra; returns 1 if it failed (it has printed why), otherwise 0."""
    argv = sys.argv
    sys.argv = [argv[0], *arguments]
    try:
        main: Any = hydra.main  # whose arguments depend on its version
        configure = main(config_path=str(compose.conf_folder()), config_name="train", **compose.VERSION_BASE, **compose.WHITELIST)
        configure(JobFunction(session))()
    except SystemExit as gave_up:
        return 1 if gave_up.code else 0
    finally:
        sys.argv = argv
    return 0


def resume_command(out: str, sweep: str) -> str:
    """The shell command that resumes a sweep."""
    return shlex.join(["gatelab", "resume", sweep if out == "runs" else str(Path(out) / "sweeps" / sweep)])


def _named(command: TrainCommand, sweeper: Sweeper) -> TrainCommand:
    """The command with a name for the sweep, if it had none."""
    if any(override.key_or_group == "sweep" for override in command.overrides):
        return command
    return _with(command, [f"sweep={sweeper.name_of(command.overrides)}"])


def _with(command: TrainCommand, added: list[str]) -> TrainCommand:
    """The command with further overrides."""
    overrides = [*command.overrides, *compose.parse(added)]
    return dataclasses.replace(command, arguments=[*command.arguments, *added], overrides=overrides)


def _watched(
    command: TrainCommand, jobs: Sequence[compose.Job], launcher: Launcher, sweeper: Sweeper | None, session: Session
) -> Progress:
    """Prints what is ahead (for a single run only if it is not simply to be trained); returns the bar and the search."""
    ahead = preflight(jobs, launcher)
    show = all(item.config.machine.progress for item in jobs)
    paths = [item.path for item in jobs]
    if sweeper is not None and sweeper.searches:  # these jobs were only examples of its runs, which come batch by batch

        def on_batch(batch: list[compose.Job]) -> None:
            _plan(command, batch)
            progress.add([item.path for item in batch])

        search = sweeper.search(command.overrides, session.composer, on_batch, command.passwords, command.dry)
        session.search = search
        ahead = ahead.scaled(search.trials_left(), search.jobs_at_once)
        progress = Progress([], show, expected=search.trials_left(), requeued=launcher.comes_back)
        progress.say(*search.lines())
    else:
        progress = Progress(paths, show, requeued=launcher.comes_back)
    if sum(ahead.counts.values()) and (command.sweep or command.dry or ahead.runs_finished or ahead.left_alone):
        progress.say(*ahead.lines())
    else:
        progress.say(*ahead.matched)
    return progress


def _watch(command: TrainCommand, jobs: Sequence[compose.Job], progress: Progress, session: Session) -> int:
    """Runs Hydra and watches the runs.

    Returns:
        1 if Hydra failed, otherwise 0.

    Raises:
        UserError: a launcher or the single run was refused.
    """
    # One thread for libraries other than torch as well; the configuration sets torch's own number.
    os.environ.setdefault("OMP_NUM_THREADS", str(jobs[0].config.machine.threads))
    try:
        with progress, stoppable():
            broken = run_hydra(command.arguments, session)
    except KeyboardInterrupt:
        if command.sweep:
            resume = resume_command(jobs[0].config.out, str(jobs[0].config.sweep))
            progress.say(f"Stopped. The same command resumes what is not finished, and so does: {resume}")
        raise
    if session.unusable is not None:
        raise session.unusable
    if session.refused and not command.sweep:
        raise session.refused[-1]
    return broken


def _follow(command: TrainCommand) -> int:
    """Like `_watch`, if another process leads, which does all writing and printing; returns the exit status."""
    session = Session()
    with stoppable():
        broken = run_hydra([*command.arguments, "hydra.output_subdir=null"], session)
    if session.refused:
        raise session.refused[-1]
    return 1 if session.failed else broken


def _plan(command: TrainCommand, jobs: Sequence[compose.Job]) -> None:
    configs = {item.path: item.config.plain() for item in jobs}
    write_plan(configs, {item.path: item.overrides for item in jobs}, command.arguments, command.plugins)
