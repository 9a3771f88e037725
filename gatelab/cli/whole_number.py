"""Whole numbers among the arguments of commands, with bounds as the options of a run have them."""

import argparse
from typing import Any

from gatelab.errors import UserError
from gatelab.options.bounds import LARGEST_INT, problem, shown


class Whole(argparse.Action):
    """Reads a whole number: `parser.add_argument("--layers", action=Whole, minimum=1, maximum=100)`.

    Args:
        option_strings, dest, settings: as for argparse.
        minimum, maximum: the smallest and the largest number that the command accepts.
    """

    def __init__(self, option_strings: list[str], dest: str, minimum: int = 0, maximum: int = LARGEST_INT, **settings: Any) -> None:
        super().__init__(option_strings, dest, **settings)
        self.bounds = {"minimum": minimum, "maximum": maximum}

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Keeps the number.

        Raises:
            UserError: it is not a whole number, or it is out of bounds.
        """
        try:
            value = int(values)
        except ValueError:
            value, wrong = values, "be a whole number"
        else:
            wrong = problem(value, self.bounds)
        if wrong:
            command = parser.prog.removeprefix("gatelab ")
            raise UserError(f"{command}: {option_string} is {shown(value)}, but it must {wrong}.")
        setattr(namespace, self.dest, value)
