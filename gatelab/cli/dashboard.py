"""`gatelab dashboard`: the report, live, in the browser of this machine."""

import shlex
from collections.abc import Sequence

from gatelab.analysis.report.live import Source, serve
from gatelab.cli.arguments import report_command
from gatelab.process.output import say
from gatelab.runs.folders import run_folders


def run(runs: Sequence[str], out: str | None, baseline: str | None, port: int) -> int:
    """Serves until Ctrl-C."""
    source = Source([*map(str, run_folders(runs, out, later=True))], baseline, report_command(runs, out, baseline))
    with serve(source, port) as server:
        say(f"Dashboard of {shlex.join(runs)}: {server.address}    (Ctrl-C ends it)")
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            say("\nThe dashboard has ended; runs continue.")
    return 0
