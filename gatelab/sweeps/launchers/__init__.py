"""Launchers: where and how the runs of a sweep are trained. One a file, found by its file stem: `hydra/launcher=<name>`."""

from gatelab.registry import Registry
from gatelab.sweeps.launchers._launcher import Alone, Foreign, Launcher

LAUNCHERS: Registry[Launcher] = Registry("launcher", "gatelab.sweeps.launchers", Launcher)

__all__ = ["LAUNCHERS", "Alone", "Foreign", "Launcher", "check_machine", "declared", "start_ahead"]


def declared(name: str | None) -> type[Launcher]:
    """What is known of a launcher.

    Args:
        name: Hydra's name for it; "" or None for a single run.

    Returns:
        Its class; `Foreign` for a launcher that another package brings to Hydra and gatelab knows nothing of.
    """
    if not name:
        return Alone
    return LAUNCHERS.get(name) if name in LAUNCHERS else Foreign


def start_ahead(arguments: list[str], default: str) -> None:
    """Has the launcher that a command asks for begin what takes seconds, before anything is imported to read the command.

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
    """Whether a launcher can be used from this machine, by what its declaration, and those that extend it, look at.

    Raises:
        UserError: with what to do.
    """
    extending = [cls for cls in map(LAUNCHERS.get, LAUNCHERS.names()) if cls.extends == name]
    for cls in (declared(name), *extending):
        cls.check_machine(name)
