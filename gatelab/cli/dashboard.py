"""`gatelab dashboard`: the report, live, in the browser of this machine."""

import argparse
import shlex

from gatelab.analysis.report.live import Source, serve
from gatelab.cli.arguments import add_folders, report_command
from gatelab.cli.whole_number import Whole
from gatelab.process.output import say


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Folders, baseline and port."""
    add_folders(parser)
    parser.add_argument("--port", action=Whole, maximum=65535, default=0, metavar="N", help="default: 0, any that is free")


def run(options: argparse.Namespace) -> int:
    """Serves until Ctrl-C."""
    source = Source(options.folders, options.baseline, report_command(options))
    with serve(source, options.port) as server:
        say(f"Dashboard of {shlex.join(options.folders)}: {server.address}    (Ctrl-C ends it)")
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            say("\nThe dashboard has ended; runs go on.")
    return 0
