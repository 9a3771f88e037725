"""`gatelab reproduce`: runs a paper's experiment and says which of its claims hold."""

import contextlib
import shlex
import sys
import time
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from gatelab.analysis.papers.paper import SCALES, Paper, find_papers, read_paper
from gatelab.analysis.papers.protocol import Protocol, open_protocol
from gatelab.analysis.papers.reproduction import as_record, evaluate, exit_status
from gatelab.analysis.papers.terminal import print_claims
from gatelab.cli.arguments import output_file
from gatelab.errors import UserError, unknown
from gatelab.process.console import Console
from gatelab.process.output import say, say_json
from gatelab.runs import Run
from gatelab.runs.files import check_writable, write_json
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.papers import arm_overrides, decided_runs, listed_papers, papers_folder
from gatelab.sweeps.search.expand import compose_jobs, options_of_sweep


class Plan(NamedTuple):
    """How the experiment of a paper is run: parameters of the command."""

    scale: str
    seeds: int | None
    jobs: int | None
    out: Path


def run(name: str | None, plan: Plan, figure: Path | None, save: Path | None, format: str) -> int:
    """Trains what is missing, then prints and writes every claim with its verdict."""
    folder = papers_folder()
    if name is None:
        raise UserError(f"reproduce: name a paper ({', '.join(find_papers(folder)) or 'there is none'}), or use --list.")
    if plan.scale not in SCALES:
        raise UserError(unknown("scale", plan.scale, SCALES))
    for option, file in (("--figure", figure), ("--save", save)):
        if file is not None:
            output_file(file, option)
    if figure is not None:
        from gatelab.analysis.figures.mpl import check_ending

        check_ending(figure)  # said before the runs are made
    paper = read_paper(folder, name)
    results, started, today = plan.out / f"{paper.name}-{plan.scale}", time.time(), time.strftime("%Y-%m-%d")
    check_writable(results)
    protocol = _protocol(paper, plan, results, today)
    # What training says is not part of an answer that another program reads.
    with contextlib.redirect_stdout(sys.stderr) if format == "json" else contextlib.nullcontext():
        runs, failed = _train(paper, plan, results)
    counts = {arm: len(members) for arm, members in runs.items()}
    look = protocol.look(counts)
    claims = protocol.settle(evaluate(paper, plan.scale, runs, look), counts, today)
    protocol.write()
    record = as_record(paper, plan.scale, claims, runs, failed) | {
        "look": look,
        "command": shlex.join(["gatelab", "reproduce", paper.name, "--scale", plan.scale]),
        "date": today,
        "elapsed_seconds": round(time.time() - started, 1),
    }
    if format == "json":
        say_json(record)
    else:
        print_claims(paper, plan.scale, claims, record, Console())
    for path in (results / "result.json", save):
        if path is not None:
            write_json(path, record)
    if figure is not None:
        from gatelab.analysis.papers.claim_figure import write_claim_figure

        write_claim_figure(record, figure)
    return exit_status(claims)


def _train(paper: Paper, plan: Plan, results: Path) -> tuple[dict[str, list[Run]], dict[str, int]]:
    """The runs of every arm that finished or diverged, and how many are missing."""
    from gatelab.cli.train import train  # with torch

    runs: dict[str, list[Run]] = {}
    failed = {}
    for arm in paper.arms:
        given = _command(paper, plan, results, arm)
        say(f"{paper.name}: {arm}")
        paths = _paths(given)
        if len(decided_runs(paths)) < len(paths):
            train(given)
        runs[arm] = decided_runs(paths)
        failed[arm] = len(paths) - len(runs[arm])
    return runs, failed


def _protocol(paper: Paper, plan: Plan, results: Path, today: str) -> Protocol:
    """The claims as they are written down before the first run, with what was there by then."""
    from gatelab.training.provenance import git_state  # with torch

    there = {arm: len(decided_runs(_paths(_command(paper, plan, results, arm)))) for arm in paper.arms}
    state = git_state(paper.folder)
    return open_protocol(results, paper, plan.scale, there, today, state["commit"] if state else None)


def _command(paper: Paper, plan: Plan, results: Path, arm: str) -> list[str]:
    """What `gatelab train` is given for the runs of an arm."""
    given = ["-m", *arm_overrides(paper, plan.scale, arm, plan.seeds)]
    given += [f"out={compose.quoted(str(results))}", f"sweep={arm}"]
    if plan.jobs:
        given.append(f"hydra.launcher.n_jobs={plan.jobs}")
    compose.register_schemas()
    return given + options_of_sweep(compose.parse(given[1:]))


def _paths(given: list[str]) -> list[Path]:
    """The directories of the runs that a command makes."""
    return [job.path for job in compose_jobs(compose.parse(given[1:]), sweep=True)]


def list_papers(format: str) -> int:
    """Prints what every scale of every paper costs, and what was found."""
    rows = [*listed_papers()]
    if format == "json":
        say_json(rows)
        return 0
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("paper", "scale", "core hours", "runs", "found"):
        table.add_column(heading)
    for row in rows:
        found = "not run yet"
        if row["verdicts"] is not None:
            found = "; ".join(", ".join(f"{count} {word}" for word, count in row[what].items()) for what in ("verdicts", "labels"))
        name = row["paper"] if row["scale"] == SCALES[0] else ""
        table.add_row(name, row["scale"], f"{row['core_hours']:g} ({row['measured']})", str(row["runs"]), found)
    Console().print(table)
    return 0
