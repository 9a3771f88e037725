"""`gatelab report`: one self-contained HTML page over whatever runs lie under the folders given."""

import argparse

from gatelab.analysis.comparison.terminal import print_skipped
from gatelab.analysis.report.document import write_report
from gatelab.cli.arguments import output_file, report_command, run_folders, say_changed
from gatelab.process.console import Console
from gatelab.process.output import say
from gatelab.runs import find_runs


def run(options: argparse.Namespace) -> int:
    """Writes the page and prints where it is."""
    path = output_file(options.output, "--output")
    runs, skipped = find_runs(run_folders(options))
    left_out = write_report(runs, skipped, path, options.baseline, report_command(options), options.level, options.time)
    print_skipped(left_out, Console(stderr=True))
    say_changed(runs)
    say(f"Report over {len(runs)} runs: {path.resolve()}")
    return 0
