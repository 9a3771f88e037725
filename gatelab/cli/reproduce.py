"""`gatelab reproduce`: runs a paper's experiment and says which of its claims hold."""

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson
from rich.console import Console
from rich.table import Table

import gatelab
from gatelab.analysis.formats import estimate
from gatelab.analysis.papers import SCALES, Paper, find_papers, read_paper
from gatelab.analysis.reproduction import Outcome, as_record, evaluate, exit_status, summarise
from gatelab.cli import compose
from gatelab.cli.train import train
from gatelab.records import write_json
from gatelab.registry import UserError, unknown
from gatelab.runs import Run, read_run


def papers_folder() -> Path:
    """The folder of the papers: beside the modules in an installed package, at the top level of a checkout."""
    installed = Path(gatelab.__file__).parent / "experiments"
    return installed if installed.is_dir() else installed.parents[1] / "experiments"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Paper, scale, and how much of it."""
    parser.add_argument("paper", nargs="?", metavar="PAPER", help="name of a paper, see --list")
    parser.add_argument("--list", action="store_true", help="the papers, what they cost and what was found")
    parser.add_argument(
        "--scale", default="reduced", help="smoke: seconds; reduced (default): decides the claims; full: the paper's own"
    )
    parser.add_argument("--seeds", type=int, metavar="N", help="runs of each arm; default: those of the scale")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at once; default: all cores")
    parser.add_argument("--out", type=Path, default=Path("runs/papers"), metavar="DIR", help="default: runs/papers")
    parser.add_argument("--save", type=Path, metavar="FILE", help="also write the result there")


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
    for name in ("seeds", "jobs"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"reproduce: --{name} is {value}, but must be at least 1.")
    paper = read_paper(folder, options.paper)
    started = time.time()
    runs, failed = _train(paper, options)
    outcomes = evaluate(paper, options.scale, runs)
    record = as_record(paper, options.scale, outcomes, runs, failed) | {
        "command": f"gatelab reproduce {paper.name} --scale {options.scale}",
        "date": time.strftime("%Y-%m-%d"),
        "elapsed_seconds": round(time.time() - started, 1),
    }
    _print(paper, options.scale, outcomes, record, Console())
    for path in (options.out / f"{paper.name}-{options.scale}" / "result.json", options.save):
        if path is not None:
            write_json(path, record)
    return exit_status(outcomes)


def _train(paper: Paper, options: argparse.Namespace) -> tuple[dict[str, list[Run]], dict[str, int]]:
    """The finished runs of every arm, and how many are missing."""
    scale = paper.scales[options.scale]
    runs: dict[str, list[Run]] = {}
    failed = {}
    for arm, makes in paper.arms.items():
        given = ["-m", *paper.overrides, *makes, *scale.overrides, f"seed=range({options.seeds or scale.seeds})"]
        given += [f"out={options.out / f'{paper.name}-{options.scale}'}", f"sweep={arm}"]
        if paper.search:
            given += ["hydra/sweeper=random", f"hydra.sweeper.trials={scale.trials}"]
            given += [f"{key}={interval}" for key, interval in paper.search.items()]
        if options.jobs:
            given.append(f"hydra.launcher.n_jobs={options.jobs}")
        print(f"{paper.name}: {arm}", flush=True)
        train(given)
        compose.register_schemas()
        paths = [job.path for job in compose.compose_jobs(compose.parse(given[1:]), sweep=True)]
        found = [read_run(path) for path in paths if (path / "status.json").exists()]
        runs[arm] = [item for item in found if item.state == "finished"]
        failed[arm] = len(paths) - len(runs[arm])
    return runs, failed


def _print(paper: Paper, scale: str, outcomes: Sequence[Outcome], record: Mapping[str, object], console: Console) -> None:
    console.print(f"\n{paper.citation}\n{paper.link}   scale: {scale}\n", markup=False, highlight=False)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("claim", "in the paper", "here", "n", "verdict"):
        table.add_column(heading, overflow="fold")
    for outcome in outcomes:
        verdict = outcome.verdict
        figure = estimate(*verdict.figure)
        means = ", ".join(f"{arm} {mean:.4g}" for arm, mean in outcome.means.items())
        said = verdict.verdict
        if verdict.needed:
            said += f": would need about {verdict.needed} runs"
        elif verdict.note:
            said += f": {verdict.note}"
        claim, quantity = outcome.claim, f"{outcome.claim.quantity}: {means}\n{outcome.claim.comparison}: {figure}"
        table.add_row(f"{claim.statement} ({claim.source})", claim.paper, quantity, "/".join(map(str, verdict.n)), said)
    console.print(table)
    failed = sum(item["failed"] for item in record["runs"].values())  # type: ignore[attr-defined]
    lost = f"; {failed} runs failed" if failed else ""
    console.print(f"\n{summarise(outcomes)}{lost}. {record['core_seconds']} core seconds on {record['machine']}.", highlight=False)


def _print_list(folder: Path) -> None:
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("paper", "scale", "core hours", "runs", "found"):
        table.add_column(heading)
    for name in find_papers(folder):
        paper = read_paper(folder, name)
        for scale, values in paper.scales.items():
            count = len(paper.arms) * values.seeds * max(1, values.trials)
            recorded = folder / name / "results" / f"{scale}.json"
            found = "not run yet"
            if recorded.exists():
                claims = [claim["verdict"] for claim in orjson.loads(recorded.read_bytes())["claims"]]
                found = ", ".join(f"{claims.count(verdict)} {verdict}" for verdict in dict.fromkeys(claims))
            table.add_row(name if scale == SCALES[0] else "", scale, f"{values.hours:g} ({values.measured})", str(count), found)
    Console().print(table)
