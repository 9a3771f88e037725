"""`gatelab reproduce`: runs a paper's experiment and says which of its claims hold."""

import argparse
import contextlib
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

import orjson
from rich.table import Table

import gatelab
from gatelab.analysis.figures.mpl import check_ending
from gatelab.analysis.papers.claim_figure import write_claim_figure
from gatelab.analysis.papers.paper import SCALES, Paper, find_papers, read_paper
from gatelab.analysis.papers.reproduction import as_record, evaluate, exit_status
from gatelab.analysis.papers.terminal import print_claims
from gatelab.cli.arguments import output_file
from gatelab.cli.train import train
from gatelab.errors import UserError, unknown
from gatelab.process.console import Console
from gatelab.process.output import say
from gatelab.runs import Run, read_run
from gatelab.runs.files import write_json
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.search.expand import compose_jobs, expand


def papers_folder() -> Path:
    """The folder of the papers: beside the modules in an installed package, at the top level of a checkout."""
    installed = Path(gatelab.__file__).parent / "experiments"
    return installed if installed.is_dir() else installed.parents[1] / "experiments"


def run(options: argparse.Namespace) -> int:
    """Trains what is missing, then prints and writes every claim with its verdict."""
    folder = papers_folder()
    if options.list:
        _print_list(folder)
        return 0
    if options.paper is None:
        raise UserError(f"reproduce: name a paper ({', '.join(find_papers(folder)) or 'there is none'}), or use --list.")
    if options.scale not in SCALES:
        raise UserError(unknown("scale", options.scale, SCALES))
    for name in ("figure", "save"):
        if getattr(options, name) is not None:
            output_file(getattr(options, name), f"--{name}")
    if options.figure is not None:
        check_ending(options.figure)  # said before the runs are made
    paper = read_paper(folder, options.paper)
    started = time.time()
    runs, failed = _train(paper, options)
    claims = evaluate(paper, options.scale, runs)
    record = as_record(paper, options.scale, claims, runs, failed) | {
        "command": shlex.join(["gatelab", "reproduce", paper.name, "--scale", options.scale]),
        "date": time.strftime("%Y-%m-%d"),
        "elapsed_seconds": round(time.time() - started, 1),
    }
    print_claims(paper, options.scale, claims, record, Console())
    for path in (options.out / f"{paper.name}-{options.scale}" / "result.json", options.save):
        if path is not None:
            write_json(path, record)
    if options.figure is not None:
        write_claim_figure(record, options.figure)
    return exit_status(claims)


def _train(paper: Paper, options: argparse.Namespace) -> tuple[dict[str, list[Run]], dict[str, int]]:
    """The runs of every arm that finished or diverged, and how many are missing."""
    runs: dict[str, list[Run]] = {}
    failed = {}
    for arm in paper.arms:
        given = ["-m", *_overrides(paper, options.scale, arm, options.seeds)]
        given += [f"out={compose.quoted(str(options.out / f'{paper.name}-{options.scale}'))}", f"sweep={arm}"]
        if options.jobs:
            given.append(f"hydra.launcher.n_jobs={options.jobs}")
        say(f"{paper.name}: {arm}")
        compose.register_schemas()
        paths = [job.path for job in compose_jobs(compose.parse(given[1:]), sweep=True)]
        if len(_results(paths)) < len(paths):
            train(given)
        runs[arm] = _results(paths)
        failed[arm] = len(paths) - len(runs[arm])
    return runs, failed


def _overrides(paper: Paper, name: str, arm: str, seeds: int | None) -> list[str]:
    """What makes the runs of an arm at a scale; `seeds` in place of those of the scale."""
    scale = paper.scales[name]
    given = [*paper.overrides, *paper.arms[arm], *scale.overrides, *scale.arms.get(arm, ())]
    if seeds or not any(word.startswith("seed=") for word in given):
        given = [word for word in given if not word.startswith("seed=")] + [f"seed=range({seeds or scale.seeds})"]
    if scale.search:
        given += ["hydra/sweeper=random", f"hydra.sweeper.trials={scale.trials}"]
        given += [f"{key}={interval}" for key, interval in scale.search.items()]
    return given


def _results(paths: Sequence[Path]) -> list[Run]:
    """The runs that finished or diverged, which they would do again."""
    found = []
    for path in paths:
        with contextlib.suppress(UserError):  # not begun, or damaged: it is trained
            found.append(read_run(path))
    return [run for run in found if run.outcome == "finished" or run.diverged]


def _print_list(folder: Path) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("paper", "scale", "core hours", "runs", "found"):
        table.add_column(heading)
    for name in find_papers(folder):
        paper = read_paper(folder, name)
        for scale, values in paper.scales.items():
            arms = (compose.parse(_overrides(paper, scale, arm, None)) for arm in paper.arms)
            count = sum(len(expand(overrides, sweep=True)) for overrides in arms)
            recorded = folder / name / "results" / f"{scale}.json"
            found = "not run yet"
            if recorded.exists():
                claims = [claim["verdict"] for claim in orjson.loads(recorded.read_bytes())["claims"]]
                found = ", ".join(f"{claims.count(verdict)} {verdict}" for verdict in dict.fromkeys(claims))
            table.add_row(name if scale == SCALES[0] else "", scale, f"{values.hours:g} ({values.measured})", str(count), found)
    Console().print(table)
