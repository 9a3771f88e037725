"""`gatelab train`: a Hydra application over `conf/`."""

import argparse
from collections.abc import Callable, Collection
from typing import NoReturn

from gatelab.errors import UserError
from gatelab.sweeps.command import TrainCommand, run_hydra
from gatelab.sweeps.command import train as train_runs
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.search.storage import without_passwords
from gatelab.sweeps.session import Session

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
    from gatelab.sweeps.jobs.hydra_internals import flags_parser

    arguments, passwords = without_passwords(arguments)
    dry = DRY_RUN in arguments
    arguments = compose.with_absolute_plugins([item for item in arguments if item != DRY_RUN])
    given = _parser(flags_parser).parse_args(arguments)
    overrides = compose.parse(given.overrides)
    plugins = {str(plugin.path): plugin.digest for plugin in compose.load_plugins(overrides)}
    compose.register_schemas()
    for name in ("config_name", "config_dir", "config_path"):
        if getattr(given, name):
            raise UserError(
                f"--{name.replace('_', '-')} is not accepted: gatelab has one configuration. Give the options of a run on the "
                "command line, as in model.hidden_size=64."
            )
    if given.help or given.hydra_help or given.cfg or given.info or given.shell_completion:
        return run_hydra(arguments, Session())
    return train_runs(TrainCommand(arguments, overrides, given.multirun, dry, plugins, passwords, planned))


def _parser(make: Callable[[], argparse.ArgumentParser]) -> argparse.ArgumentParser:
    """Hydra's parser, which refuses as everything here does."""

    def refuse(message: str) -> NoReturn:
        raise UserError(f"train: {message}. See `gatelab train --help`.")

    parser = make()
    parser.error = refuse  # type: ignore[method-assign]
    return parser
