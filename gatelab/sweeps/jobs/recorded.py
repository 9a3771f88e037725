"""Checks recorded commands before they are repeated: the folder may come from another user."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from gatelab.config import Config
from gatelab.errors import UserError
from gatelab.registry.plugins import Plugin, read_plugin
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.jobs.conf import OF_HYDRA
from gatelab.training.trained import TRUST, check_trust

_PLAIN = re.compile(r"['\"]?[\w.:/@,+?&=%~ -]*['\"]?", re.ASCII)
_OWN = {field.name for field in fields(Config)} | {"experiment"}


def check_command(command: Mapping[str, Any], trust: bool, plan: Path) -> list[str]:
    """The arguments of a recorded command, if it can be repeated; nothing is executed.

    Args:
        command: `arguments`, the `folder` that they were given in, and the digests of their `plugins`.
        trust: whether the user has allowed to execute what it names.
        plan: the file, for messages.

    Returns:
        The arguments, with absolute paths of plugins.

    Raises:
        UserError: they can execute code that the user must confirm, or a plugin has changed.
    """
    given = command.get("arguments")
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise UserError(f"{plan} is damaged: the arguments of a command are not a list of strings. Repeat the command instead.")
    doubtful = [item for item in given if not _is_harmless(item)]
    if doubtful and not trust:
        raise UserError(
            f"{plan} repeats {', '.join(map(repr, doubtful))}, which can execute programs. Nothing was executed. "
            f"If you know what it does, add {TRUST}."
        )
    folder = Path(str(command.get("folder", "")))
    arguments = compose.with_absolute_plugins(given, folder)
    plugins = [read_plugin(path) for one in compose.parse(overrides_of(arguments)) for path in compose.plugins_of(one)]
    check_trust(plugins, trust, str(plan))
    _check_unchanged(plugins, command.get("plugins"), plan)
    return arguments


def check_planned(jobs: Iterable[compose.Job], planned: Collection[str]) -> None:
    """Refuses to train runs that a sweep has not planned.

    Raises:
        UserError: something that determines the results has changed.
    """
    others = [job.path.name for job in jobs if job.path.name not in planned]
    if others:
        raise UserError(
            f"Resuming would train {len(others)} other runs than the sweep has planned, as {others[0]}: a default, its data or its "
            "plugin has changed. Restore it, or train the present version with `gatelab train`."
        )


def overrides_of(arguments: Sequence[str]) -> list[str]:
    """The arguments that are overrides, not flags."""
    return [item for item in arguments if not item.startswith("-")]


def _is_harmless(argument: str) -> bool:
    """Whether an argument of `gatelab train` only tells what to train, how often, and how large a machine it needs."""
    if argument in ("-m", "--multirun"):
        return True
    key, _, value = argument.partition("=")
    key = key.lstrip("+~")
    if not argument.isprintable() or argument.startswith("-"):
        return False
    if key.startswith("hydra"):
        return _is_harmless_to_hydra(key, value)
    # A key with / or @ makes Hydra read another file.
    return key == "plugins" or (re.fullmatch(r"[\w.]+", key) is not None and key.partition(".")[0] in _OWN - {"plugins"})


def _is_harmless_to_hydra(key: str, value: str) -> bool:
    """Hydra's other options can name classes to call, configurations to read, shell commands or clusters."""
    for group, registry in OF_HYDRA.items():
        if key == group:
            return value in registry
        option = key.removeprefix(f"{group.replace('/', '.')}.")
        if option != key:
            known = any(option in registry.get(name).repeatable for name in registry.names())
            return known and _PLAIN.fullmatch(value) is not None
    return False


def _check_unchanged(plugins: Sequence[Plugin], noted: Any, plan: Path) -> None:
    digests = noted if isinstance(noted, Mapping) else {}
    for plugin in plugins:
        if str(plugin.path) not in digests:
            raise UserError(f"{plan} is damaged: it has no digest of the plugin '{plugin.path}'. Repeat the command instead.")
        if digests[str(plugin.path)] != plugin.digest:
            raise UserError(
                f"'{plugin.path}' has changed since the sweep of {plan} began, so that resuming would train other runs. Restore it "
                "(the run directories have a copy, in plugins), or train the present version with `gatelab train`."
            )
