"""The commands and their arguments, in one table: for help, errors and completion.

What takes time to import (torch, Lightning, Hydra, scipy) is imported by the functions that need it, so that help is there at
once."""

import argparse
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

from gatelab.config import MOST_LAYERS, MOST_THREADS
from gatelab.errors import UserError
from gatelab.options.argument import Real, Whole
from gatelab.training.trained import TRUST

WIDTH = 80  # columns of a help page
MOST_ROUNDS = 10_000
CELL = "a cell and its options, as in lstm, or attention cell.window=3, or mycell.py"


class Parser(argparse.ArgumentParser):
    """Reads the arguments of one command.

    Args:
        command: its name.
    """

    def __init__(self, command: str) -> None:
        self.more: Callable[[], str] | None = None  # what stands at the end of the help, where that takes time to find
        form = argparse.RawDescriptionHelpFormatter
        super().__init__(
            prog=f"gatelab {command}",
            description=textwrap.fill(COMMANDS[command].summary, WIDTH),
            formatter_class=lambda prog: form(prog, max_help_position=26, width=WIDTH),
        )
        COMMANDS[command].declare(self)

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


class Command(NamedTuple):
    """Attributes:
    summary: a line for `gatelab --help`.
    declare: adds the arguments to a parser.
    """

    summary: str
    declare: Callable[[Parser], None]


def _runs(parser: Parser, several: str = "*") -> None:
    text = "folders with runs, run directories, or sweeps by name or folder"
    if several == "*":
        parser.add_argument("folders", nargs="*", default=["runs"], metavar="RUNS", help=f"{text}; default: runs")
    else:
        parser.add_argument("folders", nargs=several, metavar="RUNS", help=text)
    _out(parser)


def _out(parser: Parser) -> None:
    parser.add_argument("--out", metavar="DIR", help="where to look for sweeps; default: runs, then the folders beside it")


def _baseline(parser: Parser) -> None:
    parser.add_argument("--baseline", metavar="CELL", help="the cell that the others are compared with")


def _solved(parser: Parser) -> None:
    level = "validation score from which on a task counts as solved; default: as the task declares"
    parser.add_argument("--level", action=Real, metavar="SCORE", help=level)
    unit = "unit of the time to solve: steps (default), seconds or flops"
    parser.add_argument("--time", default="steps", choices=("steps", "seconds", "flops"), help=unit)


def _format(parser: Parser, *choices: str) -> None:
    parser.add_argument("--format", default="table", choices=("table", *choices), help="default: table")


def _dtype(parser: Parser) -> None:
    parser.add_argument("--dtype", default="float32", choices=("float32", "float64"), help="default: float32")


def _compare(parser: Parser) -> None:
    _runs(parser)
    _baseline(parser)
    _solved(parser)
    _format(parser, "csv", "json", "markdown")
    parser.add_argument(
        "--brief", action="store_true", help="what fits on a screen: the first columns, what they show, and what each cell is"
    )
    parser.more = _statistics


def _statistics() -> str:
    from gatelab.analysis.comparison.sections import EXPLANATIONS

    width = max(map(len, EXPLANATIONS)) + 4
    explained = (f"{f'  {name}':<{width}}{text}" for name, text in EXPLANATIONS.items())
    return "\n".join(["statistics:", *(textwrap.fill(line, WIDTH, subsequent_indent=" " * width) for line in explained)])


def _status(parser: Parser) -> None:
    _runs(parser)
    parser.add_argument("--watch", action="store_true", help="look again every second, until Ctrl-C")
    _format(parser, "json")


def _resume(parser: Parser) -> None:
    parser.add_argument("sweep", metavar="SWEEP", help="its name, or its folder, runs/sweeps/<name>")
    _out(parser)
    parser.add_argument("--failed", action="store_true", help="also retry failed runs, from their last good checkpoint")
    trust = "execute plugins that the plan names and that lie outside the current folder"
    parser.add_argument(TRUST, action="store_true", help=trust)


def _report(parser: Parser) -> None:
    _runs(parser)
    _baseline(parser)
    _solved(parser)
    parser.add_argument("-o", "--output", default="report.html", metavar="FILE", help="default: report.html")


def _dashboard(parser: Parser) -> None:
    _runs(parser)
    _baseline(parser)
    parser.add_argument("--port", action=Whole, maximum=65535, default=0, metavar="N", help="default: 0, any that is free")


def _plot(parser: Parser) -> None:
    _runs(parser)
    parser.add_argument("--figure", required=True, metavar="NAME", help="one of those below")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="its suffix decides the format: .pdf, .png or .svg")
    parser.add_argument("--task", metavar="TASK", help="this task only; default: all, one below the other")
    _solved(parser)
    parser.more = _figures


def _figures() -> str:
    from gatelab.analysis.figures import FIGURES

    return textwrap.fill(f"figures: {', '.join(FIGURES)}", WIDTH, subsequent_indent="  ", break_on_hyphens=False)


def _importance(parser: Parser) -> None:
    _runs(parser)
    parser.add_argument("--cell", help="only this cell; default: all")
    parser.add_argument("--metric", help="'test mse', 'last grad/norm', 'steps val/mse < 0.01'; default: the validation score")
    resamples = "resamples of the bootstrap; default: as many as its intervals need"
    parser.add_argument("--resamples", action=Whole, maximum=1_000_000, metavar="N", help=resamples)
    parser.add_argument("--seed", action=Whole, maximum=2**31, default=0, help="seed for the forests and the bootstrap; default: 0")
    _format(parser, "json")


def _inspect(parser: Parser) -> None:
    _runs(parser, "+")
    parser.add_argument("--checkpoint", default="best", choices=("best", "last"), help="default: best")
    parser.add_argument("--split", default="test", choices=("val", "test"), help="default: test")
    sequences = "sequences to compute gates and gradients from; default: 256"
    parser.add_argument("--sequences", action=Whole, minimum=1, default=256, metavar="N", help=sequences)
    trust = "execute plugins (or the run's copies of them) that lie outside the current folder"
    parser.add_argument(TRUST, action="store_true", help=trust)


def _reproduce(parser: Parser) -> None:
    from gatelab.sweeps.jobs.needs import MOST_JOBS
    from gatelab.sweeps.jobs.overrides import MOST_RUNS

    parser.add_argument("paper", nargs="?", metavar="PAPER", help="name of a paper, see --list")
    parser.add_argument("--list", action="store_true", help="the papers, what they cost and what was found")
    scale = "smoke: seconds; reduced (default): decides the claims; full: the paper's own"
    parser.add_argument("--scale", default="reduced", help=scale)
    seeds = "runs of each arm; default: those of the scale"
    parser.add_argument("--seeds", action=Whole, minimum=1, maximum=MOST_RUNS, metavar="N", help=seeds)
    parser.add_argument("--jobs", action=Whole, minimum=1, maximum=MOST_JOBS, metavar="N", help="runs at once; default: all cores")
    parser.add_argument("--out", type=Path, default=Path("runs/papers"), metavar="DIR", help="default: runs/papers")
    parser.add_argument("--figure", type=Path, metavar="FILE", help="also draw it there: .pdf, .png or .svg (gatelab[plots])")
    parser.add_argument("--save", type=Path, metavar="FILE", help="also write the result there")


def _list(parser: Parser) -> None:
    parser.add_argument("kind", choices=("cells", "tasks"), help="what to list")
    parser.add_argument("plugins", nargs="*", metavar="FILE", help="Python files with cells or tasks of your own")
    _format(parser, "json")


def _explain(parser: Parser) -> None:
    parser.add_argument("words", nargs="+", metavar="NAME", help=f"{CELL}; likewise a task: adding task.length=50")
    _format(parser, "json")


def _check(parser: Parser) -> None:
    parser.add_argument("words", nargs="*", metavar="NAME", help=f"{CELL}; likewise tasks; several names without options")
    parser.add_argument("--all", action="store_true", help="every cell and every task that `gatelab list` shows")


def _bench(parser: Parser) -> None:
    cells = f"{CELL}; several with cell=lstm,gru; default: all. A cell with memory reads 50 steps unless its window is given"
    parser.add_argument("words", nargs="*", metavar="CELL", help=cells)
    shapes = "BxTxDxH, several with commas; default: those of gatelab/bench/cases.py"
    parser.add_argument("--shapes", metavar="SHAPES", help=shapes)
    repeats = "rounds; default: 7, with --quick or --training 3"
    parser.add_argument("--repeats", action=Whole, minimum=1, maximum=MOST_ROUNDS, metavar="N", help=repeats)
    threads = "threads of every column; default: those of torch"
    parser.add_argument("--threads", action=Whole, minimum=1, maximum=MOST_THREADS, metavar="N", help=threads)
    _dtype(parser)
    parser.add_argument("--baseline", default="lstm", metavar="CELL", help="the unit of time per FLOP; default: lstm")
    _format(parser, "json")
    keep = "replace the figures that `gatelab explain` shows (gatelab/bench/measured.json)"
    parser.add_argument("--keep", action="store_true", help=keep)
    parser.add_argument("--quick", action="store_true", help="two small shapes, in seconds")
    parser.add_argument("--training", action="store_true", help="whole training steps against a bare loop instead (adding, lstm)")


def _kernels(parser: Parser) -> None:
    parser.add_argument("action", choices=("show", "list", "clear"), help="print the C of a cell; list the cache; empty the cache")
    parser.add_argument("words", nargs="*", default=[], metavar="CELL", help=f"show: {CELL}")
    _dtype(parser)


def _wandb(parser: Parser) -> None:
    parser.add_argument("view", choices=("report", "workspace"), help="what to make")
    parser.add_argument("project", metavar="PROJECT", help="W&B project, as in logger.project")
    parser.add_argument("--entity", metavar="NAME", help="W&B team or user; default: yours")
    layers = "layers of the models; default: 1"
    parser.add_argument("--layers", action=Whole, minimum=1, maximum=MOST_LAYERS, default=1, metavar="N", help=layers)
    parser.add_argument("--format", choices=("json",), help="print the workspace instead of saving it; needs no account")


def _completion(parser: Parser) -> None:
    parser.add_argument("shell", choices=("bash", "fish", "zsh"), help='as in eval "$(gatelab completion bash)"')


def _nothing(parser: Parser) -> None:
    del parser


# A module of the same name has `run`; `train` has Hydra's grammar instead of a parser.
COMMANDS = {
    "train": Command("train one run, or with -m a sweep: gatelab train cell=cifg task=adding seed=0", _nothing),
    "compare": Command("a table over the runs in one or more folders", _compare),
    "status": Command("what the runs of a sweep are doing: done, running, failed, queued, time left", _status),
    "resume": Command("resume what a sweep has not finished: gatelab resume SWEEP; --failed: also what failed", _resume),
    "report": Command("one self-contained HTML page over the runs in one or more folders", _report),
    "dashboard": Command("the same page, live while runs train, for the browser of this machine", _dashboard),
    "plot": Command("one figure of the report for a paper: gatelab plot runs --figure gradient-lag -o flow.pdf", _plot),
    "importance": Command("which hyper-parameters of a search mattered: shares of the variance, by cell", _importance),
    "inspect": Command("gates, timescales, gradient flow and Lyapunov exponents of a trained model", _inspect),
    "reproduce": Command("run the experiment of a paper and decide its claims: gatelab reproduce forget2000", _reproduce),
    "list": Command("the cells or the tasks", _list),
    "explain": Command("equations, options, cost and references of a cell or a task: gatelab explain cifg", _explain),
    "check": Command("whether cells and tasks keep their contracts, also yours: gatelab check mycell.py", _check),
    "bench": Command("times of the kernels against eager, torch and Flax; --training: of whole steps", _bench),
    "kernels": Command("the C of a cell, or the cache of compiled kernels: gatelab kernels show cifg", _kernels),
    "wandb": Command("a saved workspace or a report in a W&B project: gatelab wandb workspace gatelab", _wandb),
    "completion": Command('the completion script of a shell: eval "$(gatelab completion bash)"', _completion),
    "doctor": Command("versions, devices, compiler, data and W&B; what is missing and how to get it", _nothing),
}
