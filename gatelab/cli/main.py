"""`gatelab`: the command line. The only code that parses arguments, prints and exits."""

import argparse
import contextlib
import errno
import importlib
import logging
import os
import signal
import sys

import gatelab
from gatelab.errors import Stopped, UserError, unknown
from gatelab.options.bounds import shown
from gatelab.process import place
from gatelab.process.output import LogFormatter, say
from gatelab.process.signals import stoppable
from gatelab.runs.files import disk_is_full, full_disk

# Command -> its module and one line of help. A module has `add_arguments` and `run`, or for Hydra's grammar `train`.
COMMANDS = {
    "train": "train one run, or with -m a sweep: gatelab train cell=cifg task=adding seed=0",
    "compare": "a table over the runs in one or more folders",
    "status": "what the runs of a sweep are doing: done, running, failed, queued, time left",
    "resume": "go on with what a sweep has not finished: gatelab resume SWEEP; --failed: and with what failed",
    "report": "one self-contained HTML page over the runs in one or more folders",
    "dashboard": "the same page, live while runs go on, for the browser of this machine",
    "plot": "one figure of the report for a paper: gatelab plot runs --figure gradient-lag -o flow.pdf",
    "importance": "which hyper-parameters of a search mattered: gatelab importance runs; shares of the variance, by cell",
    "inspect": "gates, timescales, gradient flow and Lyapunov exponents of a trained model: gatelab inspect runs/<run>",
    "reproduce": "run the experiment of a paper and say which of its claims hold: gatelab reproduce forget2000",
    "list": "the cells or the tasks there are",
    "explain": "equations, options, cost and references of a cell or a task: gatelab explain cell=cifg",
    "check": "whether cells and tasks keep their contracts, your own as well: gatelab check mycell.py; --all: every one there is",
    "bench": "times of the kernels against eager, torch and Flax; with --training of whole steps against a bare loop",
    "kernels": "the C of a cell, or the cache of compiled kernels: gatelab kernels show cifg; gatelab kernels clear",
    "wandb": "a saved workspace or a report in a W&B project: gatelab wandb workspace gatelab",
    "doctor": "versions, devices, compiler, data and W&B; what is missing and how to get it",
}
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
    """What no command has foreseen: one sentence, and the traceback for whoever asks for it."""
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
        from gatelab.sweeps.contracts import start_ahead
        from gatelab.sweeps.jobs.conf import default_choice

        start_ahead(rest, default_choice("hydra/launcher"))  # beside this process, which is about to import for seconds itself
        from gatelab.cli.train import train

        return train(rest)
    module = importlib.import_module(f"gatelab.cli.{command}")
    parser = _Parser(prog=f"gatelab {command}", description=COMMANDS[command])
    module.add_arguments(parser)
    return module.run(parser.parse_intermixed_args(rest))  # options may stand between arguments: show cifg --dtype float64 ...


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> None:  # type: ignore[override]
        raise UserError(f"{self.prog.removeprefix('gatelab ')}: {message}. See `{self.prog} --help`.")


def _usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()]
    return "\n".join(["gatelab compares gating variants of recurrent networks.", "", "usage: gatelab COMMAND ...", "", *lines])


if __name__ == "__main__":
    sys.exit(main())
