"""All that is taken from Hydra's private modules, in one place: what to look at when a new Hydra is out."""

import argparse
from typing import TYPE_CHECKING

from hydra.core.override_parser.types import Override

if TYPE_CHECKING:
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper


def flags_parser() -> argparse.ArgumentParser:
    """The parser of Hydra's command line: `gatelab train` tells its flags from overrides before Hydra runs.

    Hydra offers it in no public form.
    """
    from hydra._internal.utils import get_args_parser

    return get_args_parser()


def basic_sweeper() -> "type[BasicSweeper]":
    """Hydra's own sweeper, from which ours derive.

    The public base class `hydra.plugins.sweeper.Sweeper` is an interface without code: the loop over batches and the file
    multirun.yaml would have to be written again, and could then differ.

    It is imported when it is asked for: Hydra executes its module again when it looks for plugins, and then it is another class.
    """
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    return BasicSweeper


def combinations(overrides: list[Override]) -> list[list[str]]:
    """The overrides of every job: all combinations of the values that are given, in Hydra's order.

    Raises:
        HydraException: it does not know a sweep of this kind.
    """
    return basic_sweeper().split_arguments(overrides, None)[0]
