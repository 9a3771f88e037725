"""`gatelab reproduce`: runs a paper's experiment and says which of its claims hold."""

import argparse
import contextlib
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
from rich.table import Table

import gatelab
from gatelab.analysis.comparison.numbers import NOTHING, engineering, estimate
from gatelab.analysis.figures.mpl import check_ending
from gatelab.analysis.papers.claim_figure import write_claim_figure
from gatelab.analysis.papers.paper import SCALES, Paper, find_papers, read_paper
from gatelab.analysis.papers.reproduction import COSTS, JudgedClaim, as_record, evaluate, exit_status, summarise
from gatelab.analysis.reading.status import duration
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
    _print(paper, options.scale, claims, record, Console())
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


def _print(paper: Paper, scale: str, claims: Sequence[JudgedClaim], record: Mapping[str, Any], console: Console) -> None:
    console.print(f"\n{paper.citation}\n{paper.link}   scale: {scale}\n", highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("claim", "in the paper", "here", "n", "verdict"):
        table.add_column(heading, overflow="fold")
    for judged in claims:
        verdict = judged.verdict
        figure = estimate(verdict.figure)
        means = ", ".join(f"{arm} {mean:.4g}" for arm, mean in judged.means.items())
        said = verdict.decision
        if verdict.needed:
            said += f": would need about {verdict.needed} runs"
        elif verdict.note:
            said += f": {verdict.note}"
        claim, quantity = judged.claim, f"{judged.claim.quantity}: {means}\n{judged.claim.comparison}: {figure}"
        table.add_row(f"{claim.statement} ({claim.source})", claim.paper, quantity, "/".join(map(str, verdict.n)), said)
    console.print(table)
    console.print(_costs(record["arms"]))
    counts = {what: sum(arm[what] for arm in record["arms"].values()) for what in ("diverged", "failed")}
    lost = "".join(f"; {count} runs {what}" for what, count in counts.items() if count)
    time_taken = f"{duration(record['elapsed_seconds'])} for this command; its runs took {record['core_seconds']:,.0f} core seconds"
    console.print(f"\n{summarise(claims)}{lost}. {time_taken} on {record['machine']}.", highlight=False)


def _costs(arms: Mapping[str, Any]) -> Table:
    """What stands beside the scores: sizes and costs of every arm."""
    table = Table(box=None, header_style="bold", pad_edge=False, caption="medians over the runs; FLOPs of one time step, forward")
    table.add_column("\narm")
    for heading in ("\nruns", "\nH", "\nparams", "FLOPs\na step", "\ns/step", "\nseconds"):
        table.add_column(heading, justify="right")
    for name, arm in arms.items():
        costs = [NOTHING if arm[key] is None else engineering(arm[key]) for key in COSTS]
        table.add_row(name, str(arm["finished"]), *costs)
    return table


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
