"""From the overrides of a command to its jobs."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from gatelab.errors import UserError
from gatelab.process.output import say
from gatelab.runs.sweep import commands
from gatelab.sweeps.contracts import SWEEPERS, Launcher, Sweeper, launcher_class, sweeper_class
from gatelab.sweeps.jobs import settings
from gatelab.sweeps.jobs.choices import check_groups, launcher_name, sweeper_name
from gatelab.sweeps.jobs.compose import Composer, Job, composing, single
from gatelab.sweeps.jobs.overrides import count_runs, given
from gatelab.training.identity import remembering

MANY_RUNS = 5000  # from this number of runs on composing takes seconds


def launcher_of(overrides: list[Override], sweep: bool) -> Launcher:
    """The launcher of a command, with its options.

    Raises:
        UserError: an option does not exist or a value is not accepted, or a package is missing.
    """
    name = launcher_name(overrides) if sweep else ""
    return settings.read(overrides, "launcher", name, launcher_class(name))


def sweeper_of(overrides: list[Override]) -> Sweeper:
    """The sweeper of a command, with its options.

    Raises:
        UserError: as in `launcher_of`.
    """
    name = sweeper_name(overrides)
    return settings.read(overrides, "sweeper", name, sweeper_class(name))


def options_of_sweep(overrides: list[Override], recorded: bool = False) -> list[str]:
    """The options in `Sweeper.added` that a command leaves out, as overrides: those its sweep began with, else the defaults.

    With them a plan stays what it was when a default changes.

    Args:
        overrides: of a command with -m, with the name of its sweep.
        recorded: the command is itself one of the plan.

    Raises:
        UserError: as in `launcher_of`.
    """
    sweeper = sweeper_of(overrides)
    missing = {name: before for name, before in sweeper.added.items() if given(overrides, f"hydra.sweeper.{name}", None) is None}
    if not missing:
        return []
    folder = Path(str(given(overrides, "out", "runs"))) / "sweeps" / str(given(overrides, "sweep", ""))
    last = [] if recorded else next(_same_sweeper(folder, sweeper_name(overrides)), None)
    found = []
    for name, before in missing.items():
        key = f"hydra.sweeper.{name}"
        value = getattr(sweeper, name) if last is None else next((v for k, _, v in last if k == key), before)
        found.append(f"{key}={value}")
    return found


def _same_sweeper(folder: Path, name: str) -> Iterator[list[tuple[str, str, str]]]:
    """The arguments of the commands of a plan that used a sweeper, the last command first."""
    if not (folder / "plan.json").is_file():
        return
    with contextlib.suppress(UserError):  # a damaged plan is written again by this command
        for command in reversed(commands(folder)):
            arguments = [str(item).partition("=") for item in command["arguments"]]
            if any(key == "hydra/sweeper" and value == name for key, _, value in arguments):
                yield arguments


def expand(overrides: list[Override], sweep: bool, composer: Composer | None = None) -> list[list[str]]:
    """The overrides of every job, in Hydra's order.

    Args:
        composer: the composer of the command.

    Raises:
        UserError: several values are given without -m, or a sweep that the sweeper does not support.
    """
    if not sweep:
        return [single(overrides)]
    try:
        return sweeper_of(overrides).jobs(overrides, composer or Composer())
    except HydraException as error:
        drawing = " or ".join(f"hydra/sweeper={name}" for name in SWEEPERS.names() if SWEEPERS.get(name).draws)
        raise UserError(f"{error} Intervals are drawn from with {drawing}.") from error


def compose_jobs(overrides: list[Override], sweep: bool, composer: Composer | None = None) -> list[Job]:
    """Composes and checks every job of a command before the first one starts.

    Args:
        composer: it remembers them.

    Raises:
        UserError: an unknown cell, task or option, a wrong type or a value out of bounds.
    """
    composer = composer or Composer()
    check_groups(overrides)
    if sweep and (count := count_runs(overrides)) > MANY_RUNS:
        say(f"Composing {count:,} runs.", stderr=True)
    here = launcher_class(launcher_name(overrides) if sweep else "").here
    with composing(), remembering():
        return composer.jobs(expand(overrides, sweep, composer), here)
