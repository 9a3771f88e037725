"""Numbers among the arguments of commands, with bounds as the options of a run have them."""

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from gatelab.errors import UserError
from gatelab.options.bounds import LARGEST_INT, problem, shown


class Whole(argparse.Action):
    """Reads a whole number: `parser.add_argument("--layers", action=Whole, minimum=1, maximum=100)`.

    Args:
        option_strings, dest: as for argparse.
        settings: those of argparse, and the smallest and the largest number that is accepted, `minimum` and `maximum`.
    """

    kind: Callable[[Any], float] = int
    words = "be a whole number"
    bounds: Mapping[str, float] = {"minimum": 0, "maximum": LARGEST_INT}

    def __init__(self, option_strings: list[str], dest: str, **settings: Any) -> None:
        own = {key: settings.pop(key) for key in ("minimum", "maximum") if key in settings}
        super().__init__(option_strings, dest, **settings)
        self.bounds = {**self.bounds, **own}

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Keeps the number.

        Raises:
            UserError: it is not such a number, or it is out of bounds.
        """
        try:
            value = self.kind(values)
        except ValueError:
            value, wrong = values, self.words
        else:
            wrong = problem(value, self.bounds)
        if wrong:
            command = parser.prog.removeprefix("gatelab ")
            raise UserError(f"{command}: {option_string} is {shown(value)}, but it must {wrong}.")
        setattr(namespace, self.dest, value)


class Real(Whole):
    """Reads a finite number."""

    kind = float
    words = "be a number"
    bounds: Mapping[str, float] = {}
