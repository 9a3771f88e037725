"""What a launcher and a sweeper declare, and the registries of both. All else of gatelab asks these, and names none of them."""

from gatelab.registry import Registry
from gatelab.sweeps.contracts import launcher, sweeper
from gatelab.sweeps.contracts.launcher import Alone, Launcher
from gatelab.sweeps.contracts.sweeper import Launch, Search, Sweeper

LAUNCHERS: Registry[Launcher] = Registry("launcher", "gatelab.sweeps.launchers", Launcher)
SWEEPERS: Registry[Sweeper] = Registry("sweeper", "gatelab.sweeps.sweepers", Sweeper)

__all__ = ["LAUNCHERS", "SWEEPERS", "Alone", "Launch", "Launcher", "Search", "Sweeper"]
__all__ += ["check_machine", "launcher_class", "start_ahead", "sweeper_class"]


def launcher_class(name: str | None) -> type[Launcher]:
    """The declaration of a launcher.

    Args:
        name: Hydra's name for it; "" or None for a single run.

    Returns:
        Its class; `launcher.Foreign` for a launcher that another package adds to Hydra, unknown to gatelab.
    """
    if not name:
        return Alone
    return LAUNCHERS.get(name) if name in LAUNCHERS else launcher.Foreign


def sweeper_class(name: str) -> type[Sweeper]:
    """The declaration of a sweeper, by Hydra's name for it; `sweeper.Foreign` if another package adds it to Hydra."""
    return SWEEPERS.get(name) if name in SWEEPERS else sweeper.Foreign


def start_ahead(arguments: list[str], default: str) -> None:
    """Lets the launcher of a command begin slow work, before anything is imported to read the command.

    Args:
        arguments: of `gatelab train`.
        default: the launcher of a sweep that names none.
    """
    given = {*arguments}
    if not given & {"-m", "--multirun"} or given & {"-h", "--help", "--hydra-help", "-c", "--cfg", "-i", "--info", "--dry-run"}:
        return
    names = [item.partition("=")[2] for item in arguments if item.startswith("hydra/launcher=")]
    name = names[-1] if names else default
    if name in LAUNCHERS:
        LAUNCHERS.get(name).start_ahead()


def check_machine(name: str) -> None:
    """Checks whether a launcher can be used from this machine, by its declaration and those that extend it.

    Raises:
        UserError: with what to do.
    """
    extending = [cls for cls in map(LAUNCHERS.get, LAUNCHERS.names()) if cls.extends == name]
    for cls in (launcher_class(name), *extending):
        cls.check_machine(name)
