"""From the overrides of a command to its jobs."""

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from gatelab.errors import UserError
from gatelab.process.output import say
from gatelab.sweeps.contracts import SWEEPERS, Launcher, Sweeper, launcher_class, sweeper_class
from gatelab.sweeps.jobs import settings
from gatelab.sweeps.jobs.choices import check_groups, launcher_name, sweeper_name
from gatelab.sweeps.jobs.compose import Composer, Job, composing, single
from gatelab.sweeps.jobs.overrides import count_runs
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
