"""`gatelab dashboard`: the report, live, in the browser of this machine."""

import argparse
import shlex

from gatelab.analysis.report.live import Source, serve
from gatelab.cli.arguments import report_command, run_folders
from gatelab.process.output import say


def run(options: argparse.Namespace) -> int:
    """Serves until Ctrl-C."""
    source = Source([*map(str, run_folders(options, later=True))], options.baseline, report_command(options))
    with serve(source, options.port) as server:
        say(f"Dashboard of {shlex.join(options.folders)}: {server.address}    (Ctrl-C ends it)")
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            say("\nThe dashboard has ended; runs continue.")
    return 0
