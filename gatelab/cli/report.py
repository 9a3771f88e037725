"""`gatelab report`: one self-contained HTML page over whatever runs lie under the folders given."""

from collections.abc import Sequence

from gatelab.analysis.comparison.terminal import print_skipped
from gatelab.analysis.reading.solving import TimeUnit
from gatelab.analysis.report.document import write_report
from gatelab.cli.arguments import output_file, report_command, say_changed
from gatelab.process.console import Console
from gatelab.process.output import say
from gatelab.runs import find_runs
from gatelab.runs.folders import run_folders


def run(folders: Sequence[str], out: str | None, baseline: str | None, level: float | None, time: TimeUnit, output: str) -> int:
    """Writes the page and prints where it is."""
    path = output_file(output, "--output")
    runs, skipped = find_runs(run_folders(folders, out))
    left_out = write_report(runs, skipped, path, baseline, report_command(folders, out, baseline, output, level, time), level, time)
    print_skipped(left_out, Console(stderr=True))
    say_changed(runs)
    say(f"Report over {len(runs)} runs: {path.resolve()}")
    return 0
