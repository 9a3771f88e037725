"""`gatelab`: the command line. The only code that parses arguments, prints and exits."""

import contextlib
import errno
import importlib
import logging
import os
import signal
import sys
import textwrap
from collections.abc import Callable

import gatelab
from gatelab.cli.commands import COMMANDS
from gatelab.errors import Stopped, UserError, unknown
from gatelab.options.bounds import shown
from gatelab.options.signature import WIDTH, Parser, summary
from gatelab.process import garbage, place
from gatelab.process.output import LogFormatter, say
from gatelab.process.signals import stoppable
from gatelab.runs.files import disk_is_full, full_disk

UNEXPECTED = 70  # the exit status that sysexits.h calls an internal software error
TRAINING = ("train", "resume", "reproduce")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: the command and what follows; those of the process when None.

    Returns:
        The exit status: 0, 1 if a run failed, 2 if the input cannot be used, UNEXPECTED if gatelab itself failed, 128 + the number
        of the signal that ended it.
    """
    if arguments is None:  # in a process of its own
        garbage.spare_imports()
    given = sys.argv[1:] if arguments is None else arguments
    if logging.lastResort is not None:  # what prints a warning where no command sets up logs
        logging.lastResort.setFormatter(LogFormatter())
    if not place.leads():  # torch would print stacks of its C++ when the leader is gone
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    try:
        return _dispatch(given)
    except UserError as error:
        _say(f"gatelab: {error}")
        return 2
    except KeyboardInterrupt as stop:
        _say("gatelab: interrupted")
        return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)
    except BrokenPipeError:  # `gatelab compare runs | head`
        sys.stderr.close()
        return 141
    except OSError as error:
        if disk_is_full(error):
            _say(f"gatelab: {full_disk(error)}")
            return 1
        if error.errno == errno.ENAMETOOLONG:
            _say(f"gatelab: {shown(str(error.filename))} cannot be used: {error.strerror}.")
            return 2
        return _unexpected(error)
    except MemoryError as error:
        _say(f"gatelab: There is not enough memory: {error}.")
        return 2
    except Exception as error:
        if "can't allocate memory" in str(error):  # torch has no class for it on the CPU
            _say(f"gatelab: There is not enough memory: {str(error).partition('DefaultCPUAllocator: ')[2]}")
            return 2
        return _unexpected(error)


def _unexpected(error: Exception) -> int:
    """What no command has foreseen: one sentence, and the traceback if the user asks for it."""
    if os.environ.get("GATELAB_TRACEBACK"):
        raise error
    what = " ".join(f"{type(error).__name__}: {error}".split())
    _say(f"gatelab: {what[:500]} This is an error of gatelab. GATELAB_TRACEBACK=1 before the command shows where it happened.")
    return UNEXPECTED


def _say(line: str) -> None:
    if place.leads():  # of several that train one run the others say the same
        say(line, stderr=True)


def _dispatch(given: list[str]) -> int:
    if not given or given[0] in ("-h", "--help"):
        say(_usage())
        return 0
    if given[0] == "--complete":
        from gatelab.cli.candidates import complete

        say(*complete(" ".join(given[1:])))
        return 0
    if given[0] == "--version":
        say(f"gatelab {gatelab.__version__}")
        return 0
    command, rest = given[0], given[1:]
    if command not in COMMANDS:
        raise UserError(unknown("command", command, COMMANDS))
    if command != "train" and place.place() is not None:
        raise UserError(
            f"torchrun trains one run in several processes, as in torchrun -m gatelab train ...; start `{command}` without."
        )
    with stoppable() if command in TRAINING else contextlib.nullcontext():  # before what takes a second to import
        return _run(command, rest)


def _run(command: str, rest: list[str]) -> int:
    if command == "train":
        if {"-h", "--help"} & {*rest}:
            from gatelab.cli.train_help import train_help

            say(train_help())
            return 0
        from gatelab.sweeps.contracts import start_ahead
        from gatelab.sweeps.jobs.conf import default_choice

        start_ahead(rest, default_choice("hydra/launcher"))  # beside this process, which is about to import for seconds itself
        return COMMANDS[command](tuple(rest))
    values = Parser(command, COMMANDS[command], MORE.get(command)).values(rest)
    importlib.import_module(f"gatelab.cli.{command}")  # what the function of the command imports
    garbage.settle()
    return COMMANDS[command](**values)


def _usage() -> str:
    width = max(map(len, COMMANDS))
    form = textwrap.TextWrapper(WIDTH, subsequent_indent=" " * (width + 4))
    lines = [form.fill(f"  {name:<{width}}  {summary(function)}") for name, function in COMMANDS.items()]
    return "\n".join(["gatelab compares gating variants of recurrent networks.", "", "usage: gatelab COMMAND ...", "", *lines])


def _statistics() -> str:
    from gatelab.analysis.comparison.explanations import EXPLANATIONS

    width = max(map(len, EXPLANATIONS)) + 4
    explained = (f"{f'  {name}':<{width}}{text}" for name, text in EXPLANATIONS.items())
    return "\n".join(["statistics:", *(textwrap.fill(line, WIDTH, subsequent_indent=" " * width) for line in explained)])


def _figures() -> str:
    from gatelab.analysis.figures import FIGURES

    return textwrap.fill(f"figures: {', '.join(FIGURES)}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)


MORE: dict[str, Callable[[], str]] = {"compare": _statistics, "plot": _figures}  # at the end of a help page


if __name__ == "__main__":
    sys.exit(main())
