"""From a paper to the runs that decide its claims."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

import gatelab
from gatelab.analysis.papers.paper import Paper, find_papers, read_paper
from gatelab.errors import UserError
from gatelab.runs import Run, read_run
from gatelab.sweeps.jobs import compose
from gatelab.sweeps.search.expand import expand


def papers_folder() -> Path:
    """The folder of the papers: beside the modules in an installed package, at the top level of a checkout."""
    installed = Path(gatelab.__file__).parent / "experiments"
    return installed if installed.is_dir() else installed.parents[1] / "experiments"


def arm_overrides(paper: Paper, name: str, arm: str, seeds: int | None) -> list[str]:
    """What makes the runs of an arm.

    Args:
        paper: as it was read.
        name: of the scale.
        arm: its name.
        seeds: in place of those of the scale.
    """
    scale = paper.scales[name]
    given = [*paper.overrides, *paper.arms[arm], *scale.overrides, *scale.arms.get(arm, ())]
    if seeds or not any(word.startswith("seed=") for word in given):
        given = [word for word in given if not word.startswith("seed=")] + [f"seed=range({seeds or scale.seeds})"]
    if scale.search:
        given += ["hydra/sweeper=random", f"hydra.sweeper.trials={scale.trials}"]
        given += [f"{key}={interval}" for key, interval in scale.search.items()]
    return given


def decided_runs(paths: Sequence[Path]) -> list[Run]:
    """The runs that finished or diverged, which they would do again."""
    found = []
    for path in paths:
        with contextlib.suppress(UserError):  # not begun, or damaged: it is trained
            found.append(read_run(path))
    return [run for run in found if run.outcome == "finished" or run.diverged]


def listed_papers() -> Iterator[dict[str, Any]]:
    """Every scale of every paper: what it costs, and when it was run how many claims got which verdict, and which label.

    Raises:
        UserError: a paper cannot be read.
    """
    folder = papers_folder()
    for name in find_papers(folder):
        paper = read_paper(folder, name)
        for scale, values in paper.scales.items():
            arms = (compose.parse(arm_overrides(paper, scale, arm, None)) for arm in paper.arms)
            count = sum(len(expand(overrides, sweep=True)) for overrides in arms)
            recorded = folder / name / "results" / f"{scale}.json"
            claims = orjson.loads(recorded.read_bytes())["claims"] if recorded.exists() else None
            yield {
                "paper": name,
                "scale": scale,
                "core_hours": values.hours,
                "measured": values.measured,
                "runs": count,
                "verdicts": _counts(claims, "verdict"),
                "labels": _counts(claims, "label"),
            }


def _counts(claims: list[dict[str, Any]] | None, what: str) -> dict[str, int] | None:
    """How many claims have each verdict or label; None before they were judged."""
    if claims is None:
        return None
    found = [claim.get(what) or "not labelled" for claim in claims]
    return {word: found.count(word) for word in dict.fromkeys(found)}
