"""A command's arguments from the signature and the docstring of its function: for its parser, its help and its completion.

Parameters that may be given by position are arguments, and those by keyword alone are options: `watch` is `--watch`. The type says
what is accepted: a Literal is a choice, an int a whole number within the bounds of its `Argument`, a bool a switch, a tuple several
values, of which there is at least one where there is no default. What a parameter means stands under Args in the docstring, or in
its `Argument`, which commands may share.
"""

import argparse
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn

from gatelab.errors import UserError
from gatelab.options.argument import Real, Whole
from gatelab.options.bounds import LARGEST_INT

WIDTH = 80  # columns of a help page

Function = Callable[..., int]


class Argument(NamedTuple):
    """Stands in the Annotated type of a parameter.

    Attributes:
        help: what it means, for a parameter of several commands.
        metavar: what stands for its value in the help.
        minimum, maximum: of a whole number.
        short: another flag for it.
        flag: the flag in place of the name of the parameter.
    """

    help: str = ""
    metavar: str | None = None
    minimum: int = 0
    maximum: int = LARGEST_INT
    short: str | None = None
    flag: str | None = None


class Parameter(NamedTuple):
    """A parameter as it is declared.

    Attributes:
        name: of the parameter.
        kind: the type of one value: str, int, bool, Path, or a Literal.
        several: whether it takes several values.
        option: whether it is given by its flag.
        default: inspect.Parameter.empty if it must be given.
        help: what it means, with the default.
        about: the rest of its declaration.
    """

    name: str
    kind: Any
    several: bool
    option: bool
    default: Any
    help: str
    about: Argument

    @property
    def choices(self) -> tuple[str, ...] | None:
        """The values that it accepts; None if there are too many to name."""
        return typing.get_args(self.kind) if typing.get_origin(self.kind) is Literal else None

    @property
    def flags(self) -> list[str]:
        """What an option is given by."""
        return [*filter(None, [self.about.short]), self.about.flag or f"--{self.name.replace('_', '-')}"]


def summary(function: Function) -> str:
    """The first line of the docstring, as it stands in a list of commands."""
    line = (inspect.getdoc(function) or "").partition("\n")[0].rstrip(".")
    return line if line[1:2].isupper() or line[1:2] == "&" else line[:1].lower() + line[1:]


def parameters(function: Function) -> list[Parameter]:
    """What a command takes, in the order of its signature."""
    described, hints = texts(inspect.getdoc(function) or ""), typing.get_type_hints(function, include_extras=True)
    return [_parameter(item, hints[item.name], described) for item in inspect.signature(function).parameters.values()]


def _parameter(item: inspect.Parameter, hint: Any, described: dict[str, str]) -> Parameter:
    about = Argument()
    if typing.get_origin(hint) is typing.Annotated:
        hint, about = typing.get_args(hint)
    if typing.get_origin(hint) in (typing.Union, types.UnionType):  # X | None
        (hint,) = (kind for kind in typing.get_args(hint) if kind is not type(None))
    several = typing.get_origin(hint) is tuple
    if several:
        hint, _ = typing.get_args(hint)
    text = described.get(item.name, about.help)
    default = item.default
    if text and default not in (inspect.Parameter.empty, None, False, ()) and "default:" not in text and "(default)" not in text:
        text += f"; default: {' '.join(default) if several else default}"
    return Parameter(item.name, hint, several, item.kind is inspect.Parameter.KEYWORD_ONLY, default, text, about)


def texts(docstring: str) -> dict[str, str]:
    """What stands under Args, by parameter."""
    section = re.search(r"^Args:\n((?: .*\n?|\n)*)", docstring, re.MULTILINE)
    if section is None:
        return {}
    found = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", section[1], re.MULTILINE)
    return {name: " ".join(text.split()).rstrip(".") for name, text in found}


class Parser(argparse.ArgumentParser):
    """Reads the arguments of one command.

    Args:
        name: of the command.
        function: what it calls.
        more: makes what stands at the end of the help, where that takes time to find.
    """

    def __init__(self, name: str, function: Function, more: Callable[[], str] | None = None) -> None:
        self.more = more
        form = argparse.RawDescriptionHelpFormatter
        super().__init__(
            prog=f"gatelab {name}",
            description=textwrap.fill(summary(function), WIDTH),
            formatter_class=lambda prog: form(prog, max_help_position=26, width=WIDTH),
        )
        for parameter in parameters(function):
            self._add(parameter)

    def _add(self, item: Parameter) -> None:
        required, about = item.default is inspect.Parameter.empty, item.about
        settings: dict[str, Any] = {"help": item.help.replace("%", "%%")}
        if not required:
            settings["default"] = list(item.default) if item.several else item.default
        if item.kind is bool:
            settings["action"] = "store_true"
        elif item.choices is not None:
            settings["choices"] = item.choices
        else:
            settings["metavar"] = about.metavar or ("N" if item.kind is int else "FILE" if item.kind is Path else item.name.upper())
            settings |= {
                int: {"action": Whole, "minimum": about.minimum, "maximum": about.maximum},
                float: {"action": Real},
            }.get(item.kind, {"type": item.kind})
        if item.several:
            settings["nargs"] = "+" if required else "*"
        if item.option:
            self.add_argument(*item.flags, dest=item.name, required=required, **settings)
        else:
            settings |= {"nargs": "?"} if not (required or item.several) else {}
            self.add_argument(item.name, **settings)

    def values(self, words: Sequence[str]) -> dict[str, Any]:
        """The value of every parameter. Options may stand between arguments: show cifg --dtype float64 cell.peepholes=true.

        Raises:
            UserError: a word is not accepted, or one is missing.
        """
        found = vars(self.parse_intermixed_args(words))
        return {name: tuple(value) if isinstance(value, list) else value for name, value in found.items()}

    def format_help(self) -> str:
        """The help page."""
        self.epilog = self.more() if self.more is not None else None
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Refuses the arguments.

        Raises:
            UserError: always.
        """
        raise UserError(f"{self.prog.removeprefix('gatelab ')}: {message}. See `{self.prog} --help`.")
