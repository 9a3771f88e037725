"""`gatelab importance`: which options of a search mattered, by shares of the variance of a score."""

from collections.abc import Sequence

from gatelab.analysis.comparison.terminal import print_skipped
from gatelab.analysis.importance.importance import RESAMPLES, importances
from gatelab.analysis.importance.terminal import plain, print_importance
from gatelab.errors import UserError, unknown
from gatelab.process.console import Console
from gatelab.process.output import say, say_json
from gatelab.runs import find_runs
from gatelab.runs.folders import folders_of, is_sweep, run_folders
from gatelab.sweeps.search.recorded_domains import recorded_domains


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
            search.setdefault(sweep.name, {}).update(recorded_domains(sweep))
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
