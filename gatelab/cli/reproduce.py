"""`gatelab reproduce`: runs a paper's experiment and says which of its claims hold."""

import argparse
import shlex
import time

from rich.table import Table

from gatelab.analysis.papers.paper import SCALES, Paper, find_papers, read_paper
from gatelab.analysis.papers.reproduction import as_record, evaluate, exit_status
from gatelab.analysis.papers.terminal import print_claims
from gatelab.cli.arguments import output_file
from gatelab.errors import UserError, unknown
from gatelab.process.console import Console
from gatelab.process.output import say
from gatelab.runs import Run
from gatelab.runs.files import write_json
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.papers import arm_overrides, decided_runs, listed_papers, papers_folder
from gatelab.sweeps.search.expand import compose_jobs


def run(options: argparse.Namespace) -> int:
    """Trains what is missing, then prints and writes every claim with its verdict."""
    folder = papers_folder()
    if options.list:
        _print_list()
        return 0
    if options.paper is None:
        raise UserError(f"reproduce: name a paper ({', '.join(find_papers(folder)) or 'there is none'}), or use --list.")
    if options.scale not in SCALES:
        raise UserError(unknown("scale", options.scale, SCALES))
    for name in ("figure", "save"):
        if getattr(options, name) is not None:
            output_file(getattr(options, name), f"--{name}")
    if options.figure is not None:
        from gatelab.analysis.figures.mpl import check_ending

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
        from gatelab.analysis.papers.claim_figure import write_claim_figure

        write_claim_figure(record, options.figure)
    return exit_status(claims)


def _train(paper: Paper, options: argparse.Namespace) -> tuple[dict[str, list[Run]], dict[str, int]]:
    """The runs of every arm that finished or diverged, and how many are missing."""
    from gatelab.cli.train import train  # with torch

    runs: dict[str, list[Run]] = {}
    failed = {}
    for arm in paper.arms:
        given = ["-m", *arm_overrides(paper, options.scale, arm, options.seeds)]
        given += [f"out={compose.quoted(str(options.out / f'{paper.name}-{options.scale}'))}", f"sweep={arm}"]
        if options.jobs:
            given.append(f"hydra.launcher.n_jobs={options.jobs}")
        say(f"{paper.name}: {arm}")
        compose.register_schemas()
        paths = [job.path for job in compose_jobs(compose.parse(given[1:]), sweep=True)]
        if len(decided_runs(paths)) < len(paths):
            train(given)
        runs[arm] = decided_runs(paths)
        failed[arm] = len(paths) - len(runs[arm])
    return runs, failed


def _print_list() -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("paper", "scale", "core hours", "runs", "found"):
        table.add_column(heading)
    for row in listed_papers():
        found = "not run yet"
        if row["verdicts"] is not None:
            found = ", ".join(f"{count} {verdict}" for verdict, count in row["verdicts"].items())
        name = row["paper"] if row["scale"] == SCALES[0] else ""
        table.add_row(name, row["scale"], f"{row['core_hours']:g} ({row['measured']})", str(row["runs"]), found)
    Console().print(table)
