"""The commands, in one table of functions: signature and docstring make help, errors and completion (`gatelab.options.signature`).

What takes time to import (torch, Lightning, Hydra, scipy) is imported by the functions that need it, so that help is there at
once."""

from pathlib import Path
from typing import Annotated, Literal

from gatelab.cli.declared import (
    CELL,
    Baseline,
    Dtype,
    Format,
    Jobs,
    Layers,
    Level,
    Out,
    Output,
    Resamples,
    Rounds,
    Runs,
    Seeds,
    Threads,
    Time,
    Trust,
)
from gatelab.options.signature import Argument, Function
from gatelab.sweeps.jobs.needs import MOST_JOBS


def train(overrides: tuple[str, ...] = ()) -> int:
    """Train one run, or with -m a sweep: gatelab train cell=cifg task=adding seed=0.

    Args:
        overrides: options of the run, and flags of Hydra; `gatelab train --help` has its own page.
    """
    from gatelab.cli.train import train as run

    return run([*overrides])


def compare(
    runs: Runs = ("runs",),
    *,
    out: Out = None,
    baseline: Baseline = None,
    level: Level = None,
    time: Time = "steps",
    format: Annotated[Literal["table", "csv", "json", "markdown"], Argument("how the answer is printed")] = "table",
    brief: bool = False,
    paired: bool = False,
) -> int:
    """A table over the runs in one or more folders.

    Args:
        brief: what fits on a screen: the first columns, what they show, and what each cell is
        paired: compare the scores of equal seeds; the correlation is printed
    """
    from gatelab.cli.compare import run

    return run(runs, out, baseline, level, time, format, brief, paired)


def calibrate(
    *,
    repetitions: Annotated[int, Argument(minimum=20, maximum=1_000_000)] = 1000,
    jobs: Annotated[int, Argument(minimum=1, maximum=MOST_JOBS)] = 2,
    part: Literal["all", "coverage", "errors", "claims", "searches", "power"] = "all",
    quick: bool = False,
    save: Path | None = None,
    format: Format = "table",
) -> int:
    """Simulate what the statistics promise: coverage, false findings, verdicts and power of all that is printed.

    Args:
        repetitions: of each simulation; 1,000 take some minutes on two cores
        jobs: processes that share the work
        part: of the table
        quick: 50 repetitions: whether it runs, not whether it holds
        save: also write the table there, as Markdown
    """
    from gatelab.cli.calibrate import run

    return run(repetitions, jobs, part, quick, save, format)


def status(runs: Runs = ("runs",), *, out: Out = None, watch: bool = False, format: Format = "table") -> int:
    """What the runs of a sweep are doing: done, running, failed, queued, time left.

    Args:
        watch: look again every second, until Ctrl-C
    """
    from gatelab.cli.status import run

    return run(runs, out, watch, format)


def resume(sweep: str, *, out: Out = None, failed: bool = False, trust: Trust = False) -> int:
    """Resume what a sweep has not finished: gatelab resume SWEEP; --failed: also what failed.

    Args:
        sweep: its name, or its folder, runs/sweeps/<name>
        failed: also retry failed runs, from their last good checkpoint
        trust: execute plugins that the plan names and that lie outside the current folder
    """
    from gatelab.cli.resume import run

    return run(sweep, out, failed, trust)


def report(
    runs: Runs = ("runs",),
    *,
    out: Out = None,
    baseline: Baseline = None,
    level: Level = None,
    time: Time = "steps",
    output: Output = "report.html",
) -> int:
    """One self-contained HTML page over the runs in one or more folders.

    Args:
        output: the file of the page
    """
    from gatelab.cli.report import run

    return run(runs, out, baseline, level, time, output)


def dashboard(
    runs: Runs = ("runs",),
    *,
    out: Out = None,
    baseline: Baseline = None,
    port: Annotated[int, Argument(maximum=65535)] = 0,
) -> int:
    """The same page, live while runs train, for the browser of this machine.

    Args:
        port: where it is served; default: 0, any that is free
    """
    from gatelab.cli.dashboard import run

    return run(runs, out, baseline, port)


def plot(
    runs: Runs = ("runs",),
    *,
    out: Out = None,
    figure: Annotated[str, Argument(metavar="NAME")],
    output: Output,
    task: str | None = None,
    level: Level = None,
    time: Time = "steps",
) -> int:
    """One figure of the report for a paper: gatelab plot runs --figure gradient-lag -o flow.pdf.

    Args:
        figure: one of those below
        output: its suffix decides the format: .pdf, .png or .svg
        task: this task only; default: all, one below the other
    """
    from gatelab.cli.plot import run

    return run(runs, out, figure, output, task, level, time)


def importance(
    runs: Runs = ("runs",),
    *,
    out: Out = None,
    cell: str | None = None,
    metric: str | None = None,
    resamples: Resamples = None,
    seed: Annotated[int, Argument(maximum=2**31)] = 0,
    format: Format = "table",
) -> int:
    """Which hyper-parameters of a search mattered: shares of the variance, by cell.

    Args:
        cell: only this cell; default: all
        metric: 'test mse', 'last grad/norm', 'steps val/mse < 0.01'; default: the validation score
        resamples: resamples of the bootstrap; default: as many as its intervals need
        seed: seed for the forests and the bootstrap
    """
    from gatelab.cli.importance import run

    return run(runs, out, cell, metric, resamples, seed, format)


def inspect(
    runs: Runs,
    *,
    out: Out = None,
    checkpoint: Literal["best", "last"] = "best",
    split: Literal["val", "test"] = "test",
    sequences: Annotated[int, Argument(minimum=1)] = 256,
    trust: Trust = False,
    format: Format = "table",
) -> int:
    """Gates, timescales, gradient flow and Lyapunov exponents of a trained model.

    Args:
        checkpoint: of the run
        split: where the sequences come from
        sequences: sequences to compute gates and gradients from
        trust: execute plugins (or the run's copies of them) that lie outside the current folder
    """
    from gatelab.cli.inspect import run

    return run(runs, out, checkpoint, split, sequences, trust, format)


def reproduce(
    paper: str | None = None,
    *,
    list: bool = False,
    scale: str = "reduced",
    seeds: Seeds = None,
    jobs: Jobs = None,
    out: Annotated[Path, Argument(metavar="DIR")] = Path("runs/papers"),
    figure: Path | None = None,
    save: Path | None = None,
    format: Format = "table",
) -> int:
    """Run the experiment of a paper and decide its claims: gatelab reproduce forget2000.

    Args:
        paper: name of a paper, see --list
        list: the papers, what they cost and what was found
        scale: smoke: seconds; reduced (default): decides the claims; full: the paper's own
        seeds: runs of each arm; default: those of the scale
        jobs: runs at once; default: all cores
        out: where the runs and the result are written
        figure: also draw it there: .pdf, .png or .svg (gatelab[plots])
        save: also write the result there
    """
    from gatelab.cli.reproduce import Plan, list_papers, run

    return list_papers(format) if list else run(paper, Plan(scale, seeds, jobs, out), figure, save, format)


def list_(
    kind: Literal["cells", "tasks"],
    plugins: Annotated[tuple[str, ...], Argument(metavar="FILE")] = (),
    *,
    format: Format = "table",
) -> int:
    """The cells or the tasks.

    Args:
        kind: what to list
        plugins: Python files with cells or tasks of your own
    """
    from gatelab.cli.list import run

    return run(kind, plugins, format)


def explain(
    words: Annotated[tuple[str, ...], Argument(f"{CELL}; likewise a task: adding task.length=50", "NAME")],
    *,
    format: Annotated[Literal["table", "json", "latex"], Argument("how the answer is printed; latex: only equations")] = "table",
    diagram: Annotated[str | None, Argument(metavar="FILE")] = None,
) -> int:
    """Equations, options, cost and references of a cell or a task: gatelab explain cifg.

    Args:
        diagram: also draw the step of the cell there, as SVG
    """
    from gatelab.cli.explain import run

    return run(words, format, diagram)


def diff(
    words: Annotated[tuple[str, ...], Argument("two cells; an option belongs to the cell before it", "CELL")],
    *,
    format: Format = "table",
) -> int:
    """What differs between the equations of two cells: gatelab diff lstm cifg."""
    from gatelab.cli.diff import run

    return run(words, format)


def check(
    words: Annotated[tuple[str, ...], Argument(f"{CELL}; likewise tasks; several names without options", "NAME")] = (),
    *,
    all: bool = False,
    format: Format = "table",
) -> int:
    """Whether cells and tasks keep their contracts, also yours: gatelab check mycell.py.

    Args:
        all: every cell and every task that `gatelab list` shows
    """
    from gatelab.cli.check import run

    return run(words, all, format)


_BENCHED = f"{CELL}; several with cell=lstm,gru; default: all. A cell with memory reads 50 steps unless its window is given"


def bench(
    words: Annotated[tuple[str, ...], Argument(_BENCHED, "CELL")] = (),
    *,
    shapes: str | None = None,
    repeats: Rounds = None,
    threads: Threads = None,
    dtype: Dtype = "float32",
    baseline: Annotated[str, Argument(metavar="CELL")] = "lstm",
    format: Format = "table",
    keep: bool = False,
    quick: bool = False,
    training: bool = False,
) -> int:
    """Times of the kernels against eager, torch and Flax; --training: of whole steps.

    Args:
        shapes: BxTxDxH, several with commas; default: those of gatelab/bench/cases.py
        repeats: rounds; default: 7, with --quick or --training 3
        threads: threads of every column; default: those of torch
        baseline: the unit of time per FLOP
        keep: replace the figures that `gatelab explain` shows (gatelab/bench/measured.json)
        quick: two small shapes, in seconds
        training: whole training steps against a bare loop instead (adding, lstm)
    """
    from gatelab.cli.bench import Choices, run

    return run(Choices(words, shapes, repeats, threads, dtype, baseline, keep, quick, training), format)


def kernels(
    action: Literal["show", "list", "clear"],
    words: Annotated[tuple[str, ...], Argument(f"show: {CELL}", "CELL")] = (),
    *,
    dtype: Dtype = "float32",
    format: Format = "table",
) -> int:
    """The C of a cell, or the cache of compiled kernels: gatelab kernels show cifg.

    Args:
        action: print the C of a cell; list the cache; empty the cache
    """
    from gatelab.cli.kernels import run

    return run(action, words, dtype, format)


def wandb(
    view: Literal["report", "workspace"],
    project: str,
    *,
    entity: Annotated[str | None, Argument(metavar="NAME")] = None,
    layers: Layers = 1,
    format: Literal["table", "json"] = "table",
) -> int:
    """A saved workspace or a report in a W&B project: gatelab wandb workspace gatelab.

    Args:
        view: what to make
        project: W&B project, as in logger.project
        entity: W&B team or user; default: yours
        layers: layers of the models
        format: json: print the workspace instead of saving it; needs no account
    """
    from gatelab.cli.wandb import run

    return run(view, project, entity, layers, format)


def completion(shell: Literal["bash", "fish", "zsh"]) -> int:
    """The completion script of a shell: eval "$(gatelab completion bash)".

    Args:
        shell: as in eval "$(gatelab completion bash)"
    """
    from gatelab.cli.completion import run

    return run(shell)


def doctor(*, format: Format = "table") -> int:
    """Versions, devices, compiler, data and W&B; what is missing and how to get it."""
    from gatelab.cli.doctor import run

    return run(format)


_FUNCTIONS: tuple[Function, ...] = (train, compare, status, resume, report, dashboard, plot, importance, inspect, reproduce)
_FUNCTIONS += (calibrate, list_, explain, diff, check, bench, kernels, wandb, completion, doctor)
COMMANDS: dict[str, Function] = {function.__name__.rstrip("_"): function for function in _FUNCTIONS}
