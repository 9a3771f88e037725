"""What the commands of a sweep drew from, read again from its plan."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

from gatelab.errors import UserError
from gatelab.runs.sweep import commands


def recorded_domains(sweep: Path) -> dict[str, str]:
    """Option -> domain, as far as the commands can be read; the values of the runs say the rest.

    Args:
        sweep: the folder of a sweep.
    """
    found: dict[str, str] = {}
    for command in commands(sweep):
        from hydra.core.override_parser.overrides_parser import OverridesParser  # here: most sweeps that are looked at have none
        from hydra.errors import HydraException

        from gatelab.sweeps.search.space import read_domains

        with contextlib.suppress(UserError, HydraException):
            words = [word for word in command["arguments"] if "=" in word]
            overrides = OverridesParser.create().parse_overrides(words)
            found |= {item.key: item.text for item in read_domains(overrides, _space(words, Path(command["folder"])))}
    return found


def _space(words: Iterable[str], folder: Path) -> Path | None:
    """The file of the space that a command names."""
    name = next((word.partition("=")[2] for word in words if word.startswith("hydra.sweeper.space=")), None)
    if name is None:
        return None
    if (folder / name).is_file():
        return folder / name
    from gatelab.sweeps.jobs.conf import conf_folder

    return conf_folder() / "space" / f"{name}.yaml"
