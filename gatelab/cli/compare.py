"""`gatelab compare`: a table over whatever runs lie under the folders given."""

from collections.abc import Sequence

from gatelab.analysis.comparison.export import render
from gatelab.analysis.comparison.sparklines import validation_curves
from gatelab.analysis.comparison.table import compare
from gatelab.analysis.comparison.terminal import print_brief, print_skipped, print_table
from gatelab.analysis.reading.solving import TimeUnit
from gatelab.cli.arguments import say_changed
from gatelab.process.console import Console
from gatelab.process.output import say
from gatelab.runs import find_runs
from gatelab.runs.folders import run_folders


def run(
    folders: Sequence[str],
    out: str | None,
    baseline: str | None,
    level: float | None,
    time: TimeUnit,
    format: str,
    brief: bool,
    paired: bool,
) -> int:
    """Prints the comparison on stdout and what was skipped on stderr."""
    runs, skipped = find_runs(run_folders(folders, out))
    result = compare(runs, baseline, level, time, paired)
    print_skipped([*skipped, *result.skipped], Console(stderr=True))
    say_changed(runs)
    if result.pruned:
        say(f"{result.pruned} runs that a search ended early (pruned) are left out.", stderr=True)
    if brief and format == "table":
        print_brief(result.rows, Console(), baseline)
        return 0
    curves = validation_curves(result.rows) if format in ("table", "markdown") else None
    if format == "table":
        print_table(result.rows, Console(), baseline, curves)
    else:
        say(render(result.rows, format, baseline, curves).removesuffix("\n"))
    return 0
