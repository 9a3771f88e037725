"""`gatelab importance`: which options of a search mattered, by shares of the variance of a score."""

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from gatelab.analysis.comparison.terminal import print_skipped
from gatelab.analysis.importance.importance import RESAMPLES, importances
from gatelab.analysis.importance.terminal import plain, print_importance
from gatelab.errors import UserError, unknown
from gatelab.process.console import Console
from gatelab.process.output import say, say_json
from gatelab.runs import find_runs
from gatelab.runs.folders import folders_of, is_sweep, run_folders
from gatelab.runs.sweep import commands


def run(
    folders: Sequence[str],
    out: str | None,
    cell: str | None,
    metric: str | None,
    resamples: int | None,
    seed: int,
    format: str,
) -> int:
    """Prints a table for every cell and task, and on stderr what was left out."""
    runs, skipped = find_runs(run_folders(folders, out))
    print_skipped(skipped, Console(stderr=True))
    search: dict[str, dict[str, str]] = {}
    for folder in folders_of(folders, out):
        for sweep in [folder] if is_sweep(folder) else sorted(plan.parent for plan in folder.glob("**/sweeps/*/plan.json")):
            search.setdefault(sweep.name, {}).update(_searched(sweep))
    cells = sorted({one.cell for one in runs})
    if cell is not None and cell not in cells:
        raise UserError(unknown("cell among these runs", cell, cells) if cells else "There are no runs here.")
    kept = [one for one in runs if cell in (None, one.cell)]
    pruned = sum(one.state == "pruned" for one in kept)
    if pruned:
        say(f"{pruned} runs that a search ended early (pruned) are left out.", stderr=True)
    made = importances(kept, search, metric, RESAMPLES if resamples is None else resamples, seed)
    if format == "json":
        say_json([plain(item) for item in made])
        return 0
    console = Console()
    for item in made:
        print_importance(item, console)
    return 0


def _searched(sweep: Path) -> dict[str, str]:
    """What the commands of a sweep drew from: option -> domain, as far as they can be read."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    from gatelab.sweeps.search.space import read_domains

    found: dict[str, str] = {}
    for command in commands(sweep):
        with contextlib.suppress(UserError, HydraException):  # then it is read off the values
            words = [word for word in command["arguments"] if "=" in word]
            overrides = OverridesParser.create().parse_overrides(words)
            found |= {item.key: item.text for item in read_domains(overrides, _space(words, Path(command["folder"])))}
    return found


def _space(words: Iterable[str], folder: Path) -> Path | None:
    """The file of the space that a command names."""
    name = next((word.partition("=")[2] for word in words if word.startswith("hydra.sweeper.space=")), None)
    if name is None:
        return None
    if (folder / name).is_file():
        return folder / name
    from gatelab.sweeps.jobs.conf import conf_folder

    return conf_folder() / "space" / f"{name}.yaml"
